//! Configuration of pip and uv for the internal repository.

use crate::eco::ClientFile;

/// `pip.conf` and `uv.toml` for a repository at `base_url`.
pub fn client_files(base_url: &str) -> Vec<ClientFile> {
    let index = format!("{base_url}/pypi/simple/");
    let https = base_url.starts_with("https:");
    let mut pip = format!("[global]\nindex-url = {index}\ndisable-pip-version-check = true\n");
    if let Some(authority) = untrusted(base_url) {
        // pip asks nothing over plain HTTP but its own host, unless told to.
        pip.extend(["trusted-host = ", authority, "\n"]);
    }
    // What uv would otherwise download from elsewhere: interpreters.
    let mut uv =
        format!("python-downloads = \"never\"\n\n[[index]]\nurl = \"{index}\"\ndefault = true\n");
    if https {
        pip.push_str(
            "# When the repository's certificate comes from a private CA, name its PEM file:\n\
             # cert = /etc/ssl/certs/ca-certificates.crt\n",
        );
        uv.insert_str(
            0,
            "# When the repository's certificate comes from a private CA that the system trusts:\n\
             # native-tls = true\n",
        );
    }
    let file = |client: &str, path: &str, text: String| ClientFile {
        client: client.to_owned(),
        path: path.to_owned(),
        text,
    };
    vec![
        file("pip", ".config/pip/pip.conf", pip),
        file("uv", ".config/uv/uv.toml", uv),
    ]
}

/// Host and port of an address that pip does not trust by itself: plain HTTP to another host than this one.
fn untrusted(base_url: &str) -> Option<&str> {
    let rest = base_url.strip_prefix("http://")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let own = host == "localhost" || host == "[::1]" || is_loopback(host);
    (!own).then_some(authority)
}

/// Whether `host` is an address in 127.0.0.0/8.
fn is_loopback(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>()
        .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::client_files;

    #[test]
    fn only_plain_http_to_another_host_needs_trust() {
        let pip = |url: &str| client_files(url)[0].text.clone();
        assert!(pip("http://repo.example:8080").ends_with("trusted-host = repo.example:8080\n"));
        assert!(pip("http://10.0.0.1/sub").ends_with("trusted-host = 10.0.0.1\n"));
        assert!(pip("http://127.example").contains("trusted-host"));
        for url in [
            "http://127.0.0.1:8080",
            "http://127.1.2.3",
            "http://localhost:1",
            "http://[::1]:1",
            "https://repo.example",
        ] {
            assert!(!pip(url).contains("trusted-host"), "{url}");
        }
        assert!(
            pip("https://repo.example/sub")
                .contains("\nindex-url = https://repo.example/sub/pypi/simple/\n")
        );
        assert!(pip("https://repo.example").contains("# cert"));
    }
}
