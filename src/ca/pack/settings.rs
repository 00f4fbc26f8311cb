//! Settings of clients, each with what goes wrong when it is used otherwise. Programs that read the system's store need
//! none of them once the Debian package is installed; the others have stores of their own.

use super::{BUNDLE, Name, Single};

/// What every file that replaces the store of its client says.
const REPLACES: &str = "\
# It REPLACES the roots of the client: nothing but the private CA is trusted. That is what an enclave wants. On a host
# that reaches public servers too, install the Debian package and write /etc/ssl/certs/ca-certificates.crt instead.
";

/// Every file of settings; the files lie in `folder` on the host.
pub(super) fn all(folder: &str, name: &Name, singles: &[&str]) -> Vec<(&'static str, String)> {
    let file = format!("{folder}/{BUNDLE}");
    vec![
        ("ca.env", environment(&file)),
        ("node.env", node(&file)),
        ("python.env", python(&file)),
        ("uv.env", uv(&file)),
        ("npmrc", npm(&file)),
        ("pip.conf", pip(&file)),
        ("cargo-config.toml", cargo(&file)),
        ("gitconfig", git(folder, &file)),
        ("curlrc", curl(&file)),
        ("java-import.sh", java(folder, name, singles)),
        ("systemd-ca.conf", systemd(folder)),
    ]
}

fn npm(file: &str) -> String {
    format!(
        "; For ~/.npmrc, or npm's global file (`npm config get globalconfig`).\n\
         ; npm's own requests use it; what scripts of packages start needs NODE_EXTRA_CA_CERTS (node.env).\n\
         ; It replaces the roots of npm. Never write strict-ssl=false instead.\n\
         cafile={file}\n"
    )
}

fn pip(file: &str) -> String {
    format!(
        "# For /etc/pip.conf or ~/.config/pip/pip.conf. uv does not read it (uv.env).\n\
         {REPLACES}\
         # Never write trusted-host instead: it switches the check off.\n\
         [global]\ncert = {file}\n"
    )
}

fn cargo(file: &str) -> String {
    format!(
        "# To append to ~/.cargo/config.toml, or .cargo/config.toml above the project.\n\
         {REPLACES}\
         # CARGO_HTTP_CAINFO says the same; of two, the variable wins.\n\
         [http]\ncainfo = \"{file}\"\n"
    )
}

fn git(folder: &str, file: &str) -> String {
    format!(
        "# For everybody: git config --system --add include.path {folder}/gitconfig\n\
         {REPLACES}\
         # Never write sslVerify = false instead.\n\
         [http]\n\tsslCAInfo = {file}\n"
    )
}

fn curl(file: &str) -> String {
    format!(
        "# For ~/.curlrc, or the folder of CURL_HOME. Programs that use libcurl do not read it.\n\
         {REPLACES}\
         # Never write insecure instead.\n\
         cacert = \"{file}\"\n"
    )
}

fn systemd(folder: &str) -> String {
    format!(
        "# For /etc/systemd/system/NAME.service.d/ca.conf, then systemctl daemon-reload.\n\
         # Without a hyphen before the path a missing file stops the start: better than a service that trusts nobody.\n\
         # Services do not read /etc/environment, ~/.profile or the shell's variables.\n\
         [Service]\nEnvironmentFile={folder}/ca.env\n"
    )
}

fn environment(file: &str) -> String {
    format!(
        "# All variables at once. systemd: EnvironmentFile=. A shell: set -a; . THIS; set +a\n\
         # sudo and su drop them; cron and services do not read a shell's.\n\
         # Node adds it to the roots that it has built in. When the file is missing, Node only warns, and every connection\n\
         # fails later. Node reads it once, at its start. SSL_CERT_FILE it ignores without --use-openssl-ca.\n\
         NODE_EXTRA_CA_CERTS={file}\n\
         {REPLACES}\
         # OpenSSL, Python's ssl, uv, Go, Ruby. Java and Firefox do not look at it.\n\
         SSL_CERT_FILE={file}\n\
         # Python's requests and what is built on it; it has roots of its own (certifi) and ignores SSL_CERT_FILE.\n\
         REQUESTS_CA_BUNDLE={file}\n\
         PIP_CERT={file}\n\
         # The program curl, not libcurl.\n\
         CURL_CA_BUNDLE={file}\n\
         CARGO_HTTP_CAINFO={file}\n\
         GIT_SSL_CAINFO={file}\n\
         AWS_CA_BUNDLE={file}\n\
         # npm reads npm_config_ variables as settings.\n\
         npm_config_cafile={file}\n"
    )
}

fn node(file: &str) -> String {
    format!(
        "# Node adds it to the roots that it has built in; it must be set before Node starts.\n\
         # When the file is missing, Node only warns, and every connection fails: test -r it first.\n\
         # Node ignores SSL_CERT_FILE without --use-openssl-ca. A setuid Node ignores this one too.\n\
         # Never set NODE_TLS_REJECT_UNAUTHORIZED=0 instead.\n\
         NODE_EXTRA_CA_CERTS={file}\n"
    )
}

fn python(file: &str) -> String {
    format!(
        "# Python's ssl, urllib and httpx read SSL_CERT_FILE; requests and what is built on it REQUESTS_CA_BUNDLE.\n\
         {REPLACES}\
         SSL_CERT_FILE={file}\nREQUESTS_CA_BUNDLE={file}\n"
    )
}

fn uv(file: &str) -> String {
    format!(
        "# uv has no setting for a file of roots: it reads this variable, and neither pip.conf nor REQUESTS_CA_BUNDLE.\n\
         {REPLACES}\
         SSL_CERT_FILE={file}\n"
    )
}

fn java(folder: &str, name: &Name, singles: &[&str]) -> String {
    let mut lines = String::new();
    for single in singles {
        let alias = single.trim_end_matches(".crt");
        lines.push_str(&import(folder, alias, single));
    }
    format!(
        "#!/bin/sh\n\
         # Makes a trust store for Java: sh java-import.sh [STORE]; then start Java with\n\
         #   -Djavax.net.ssl.trustStore=STORE -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit\n\
         # Without the password Java reads no certificate and says that its trustAnchors are empty.\n\
         # (JAVA_TOOL_OPTIONS reaches every JVM of a service). It REPLACES Java's own roots (cacerts).\n\
         # keytool takes only the first certificate of a file, hence one file for each. The password protects nothing: roots\n\
         # are public; write access to the store is what counts. Stores that openssl makes Java does not take as trusted.\n\
         # CA: {name}\n\
         set -eu\n\
         STORE=${{1:-{folder}/truststore.p12}}\n\
         rm -f \"$STORE\"\n\
         {lines}"
    )
}

fn import(folder: &str, alias: &str, single: &str) -> String {
    format!(
        "keytool -importcert -noprompt -alias {alias} -file {folder}/certs/{single} -keystore \"$STORE\" -storetype PKCS12 \
         -storepass changeit\n"
    )
}

/// What is here and how it is used.
pub(super) fn readme(folder: &str, package: &str, singles: &[Single<'_>]) -> String {
    let mut table =
        String::from("| certificate | subject | valid until | SHA-256 |\n|---|---|---|---|\n");
    for single in singles {
        let facts = single.facts;
        let subject = crate::base::markup::markdown(&facts.subject);
        table.push_str(&row(
            &single.name,
            &subject,
            &facts.not_after.to_string(),
            &facts.fingerprint.hex(),
        ));
    }
    format!(
        "# The private CA\n\n\
         Compare the fingerprints with those that the agency tells by another way before anything trusts them.\n\n\
         {table}\n\
         ## The system's store\n\n\
         `dpkg -i {package}` adds the certificates to `/etc/ssl/certs`; `dpkg -r` takes them out again. curl, git, Python's\n\
         ssl, Go and apt look there. Node, npm, Python's requests, pip of older versions, cargo of some builds and Java do not.\n\n\
         ## Without it\n\n\
         Copy this folder to `{folder}`. No file of the system is touched, and no administrator is needed to read it.\n\n\
         | for | file |\n|---|---|\n\
         | everything, by variables | `ca.env` |\n\
         | a service of systemd | `systemd-ca.conf` |\n\
         | Node | `node.env` |\n\
         | npm | `npmrc` |\n\
         | Python | `python.env` |\n\
         | pip | `pip.conf` |\n\
         | uv | `uv.env` |\n\
         | cargo | `cargo-config.toml` |\n\
         | git | `gitconfig` |\n\
         | curl | `curlrc` |\n\
         | Java | `java-import.sh` |\n\n\
         What goes wrong with each stands in it. When a server is refused all the same, `stage ca check {BUNDLE} --chain\n\
         served.pem --host NAME` says why; most often the server does not send its intermediate certificate.\n"
    )
}

fn row(name: &str, subject: &str, until: &str, fingerprint: &str) -> String {
    format!("| `{name}` | {subject} | {until} | `{fingerprint}` |\n")
}
