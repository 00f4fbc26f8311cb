//! Plain files: each is fetched from where it is published, and has the digest of the lock.

use std::fmt::Write as _;

use crate::base::package::EcosystemId;
use crate::prove::clients::{BASE, Planner};

/// The name of the list below `/stage`.
const LIST: &str = "files";

pub(super) fn plan(planner: &mut Planner<'_>) {
    let file = EcosystemId::file();
    let host = planner.request.host;
    let mut list = String::new();
    let mut count = 0_usize;
    for package in planner.request.lock.of(&file) {
        if package.is_carried() && package.platforms.contains(&host) {
            // Of what paths are made of, only a percent sign means something in an address.
            let path = package.name.replace('%', "%25");
            if writeln!(list, "{} {path}", package.version).is_ok() {
                count += 1;
            }
        }
    }
    planner.files.push((LIST.to_owned(), list));
    let channel = &planner.request.channel;
    let script = format!(
        "while read -r digest path; do\n    fetch {BASE}/files/{channel}/$path file\n    \
         echo \"$digest  file\" | sha256sum -c --quiet - || {{ echo \"$path is not what the lock says\"; exit 1; }}\n    rm file\n\
         done < /stage/{LIST}\necho 'note {count} fetched, each with its digest'\n"
    );
    planner.add(file, "file: fetch of every file".to_owned(), &script);
}
