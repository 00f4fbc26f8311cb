//! The private CA: what is packed, and what is refused and why.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use stage::base::fault::Fault as _;
use stage::base::time::Timestamp;
use stage::ca::{CaBundle, CaError, read_roots};

fn now() -> Timestamp {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2035, 1, 1);
    params
}

fn pem(params: &CertificateParams) -> String {
    params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .pem()
}

fn root(name: &str) -> String {
    pem(&params(name))
}

fn read(text: &str) -> Result<CaBundle, CaError> {
    read_roots(
        &[("ca/root.pem".to_owned(), text.as_bytes().to_vec())],
        now(),
    )
}

fn refused(text: &str) -> (&'static str, String) {
    let error = read(text).unwrap_err();
    (error.code().name, error.to_string())
}

#[test]
fn roots_become_canonical_pem_in_the_order_given() {
    let (one, two) = (root("Agency Root 1"), root("Agency Root 2"));
    let messy = format!(
        "# Agency roots\r\nroot 2\n======\n\n{}\n\n{one}",
        two.replace('\n', "\r\n")
    );
    let files = [
        ("a.pem".to_owned(), messy.into_bytes()),
        ("b.pem".to_owned(), one.clone().into_bytes()),
    ];
    let bundle = read_roots(&files, now()).unwrap();
    let subjects: Vec<&str> = bundle
        .certificates
        .iter()
        .map(|c| c.subject.as_str())
        .collect();
    assert_eq!(subjects, ["CN=Agency Root 2", "CN=Agency Root 1"]);
    let expected = format!("{two}{one}").replace("\r\n", "\n");
    assert_eq!(String::from_utf8(bundle.pem.clone()).unwrap(), expected);
    let codes: Vec<&str> = bundle.findings.iter().map(|f| f.code.name).collect();
    assert_eq!(codes, ["ca-duplicate"]);
    let again = read_roots(&[("c".to_owned(), bundle.pem.clone())], now()).unwrap();
    assert_eq!(again.pem, bundle.pem);
}

#[test]
fn a_private_key_is_refused_before_anything_else_and_never_shown() {
    let key = KeyPair::generate().unwrap().serialize_pem();
    for text in [
        format!("{}{key}", root("R")),
        format!("{key}{}", root("R")),
        key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        key.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"),
        key.lines().take(2).collect::<Vec<_>>().join("\n"),
    ] {
        let (code, message) = refused(&text);
        assert_eq!(code, "manifest-ca-private-key");
        let secret = key.lines().nth(1).unwrap();
        assert!(
            message.contains("ca/root.pem") && !message.contains(secret),
            "{message}"
        );
    }
}

#[test]
fn only_authorities_are_packed() {
    let mut leaf = params("leaf");
    leaf.is_ca = IsCa::NoCa;
    assert_eq!(refused(&pem(&leaf)).0, "manifest-ca-not-a-ca");
    let mut explicit = params("explicit leaf");
    explicit.is_ca = IsCa::ExplicitNoCa;
    assert_eq!(refused(&pem(&explicit)).0, "manifest-ca-not-a-ca");
    let mut signer = params("wrong usage");
    signer.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let (code, message) = refused(&format!("{}{}", root("good"), pem(&signer)));
    assert_eq!(code, "manifest-ca-not-a-ca");
    assert!(message.contains("certificate 2"), "{message}");
}

#[test]
fn validity_counts_at_the_time_given() {
    let mut old = params("old");
    old.not_after = date_time_ymd(2026, 1, 1);
    let (code, message) = refused(&pem(&old));
    assert_eq!(code, "manifest-ca-not-valid");
    assert!(
        message.contains("expired on 2026-01-01T00:00:00Z"),
        "{message}"
    );
    let mut young = params("young");
    young.not_before = date_time_ymd(2027, 1, 1);
    let (_, message) = refused(&pem(&young));
    assert!(
        message.contains("is not valid before 2027-01-01T00:00:00Z"),
        "{message}"
    );
}

#[test]
fn what_is_not_pem_is_refused_with_its_line() {
    let good = root("R");
    let body = good.lines().nth(1).unwrap().to_owned();
    let cut = good.replace("-----END CERTIFICATE-----\n", "");
    let cases = [
        (String::new(), "manifest-ca-empty"),
        ("just text\n".to_owned(), "manifest-ca-empty"),
        (format!("{good}{body}\n"), "manifest-ca-not-pem"),
        (format!("{good}\u{0}\n"), "manifest-ca-not-pem"),
        (cut.clone(), "manifest-ca-not-pem"),
        (format!("{cut}{good}"), "manifest-ca-not-pem"),
        (
            good.replace("CERTIFICATE", "X509 CRL"),
            "manifest-ca-not-pem",
        ),
        (
            good.replace(&body, &body.replace('M', "!")),
            "manifest-ca-unreadable",
        ),
        (
            good.replace(&format!("{body}\n"), ""),
            "manifest-ca-unreadable",
        ),
    ];
    for (text, code) in cases {
        assert_eq!(refused(&text).0, code, "{text}");
    }
    let der = CertificateParams::new(Vec::new()).unwrap();
    let der = der
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .der()
        .to_vec();
    let error = read_roots(&[("x.der".to_owned(), der)], now()).unwrap_err();
    assert_eq!(error.code().name, "manifest-ca-not-pem");
    let error = read(&format!("{good}\n-----BEGIN X-----\n")).unwrap_err();
    assert_eq!(error.place().unwrap().line, good.lines().count() + 2);
}

#[test]
fn an_intermediate_as_anchor_is_a_finding() {
    let issuer =
        CertifiedIssuer::self_signed(params("root"), KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let as_issuer: &Issuer<'_, KeyPair> = &issuer;
    let between = params("between").signed_by(&key, as_issuer).unwrap();
    let bundle = read(&between.pem()).unwrap();
    assert_eq!(bundle.findings.len(), 1);
    assert_eq!(bundle.findings[0].code.name, "manifest-ca-intermediate");
}

#[test]
fn names_from_certificates_are_escaped() {
    let mut hostile = params("a\u{1b}[2Jb\u{202e}");
    hostile.is_ca = IsCa::NoCa;
    let error = read(&pem(&hostile)).unwrap_err();
    let shown = format!("{error} {:?}", error.facts());
    assert!(
        !shown.contains('\u{1b}') && !shown.contains('\u{202e}'),
        "{shown}"
    );
}

/// The file was made with OpenSSL: an RSA root of 1024 bits, valid from November 2026.
#[test]
fn a_short_rsa_key_is_a_finding() {
    let text = include_bytes!("../data/ca/rsa-1024.pem").to_vec();
    let later = "2027-01-01T00:00:00Z".parse().unwrap();
    let bundle = read_roots(&[("weak.pem".to_owned(), text)], later).unwrap();
    assert_eq!(bundle.certificates[0].subject, "CN=Weak Root");
    let codes: Vec<&str> = bundle.findings.iter().map(|f| f.code.name).collect();
    assert_eq!(codes, ["manifest-ca-weak-key", "ca-validity"]);
    assert_eq!(
        bundle.findings[0].severity,
        stage::base::finding::Severity::Deny
    );
    assert!(bundle.findings[0].message.contains("1024 bits"));
}
