//! A certificate authority of the test's own, and a server certificate for this machine.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Files in PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate, for clients.
    pub ca: PathBuf,
    /// The server's certificate, for `localhost` and `127.0.0.1`.
    pub certificate: PathBuf,
    /// Its private key, PKCS#8.
    pub key: PathBuf,
    /// Key and certificate chain in one file, as Kafka's PEM keystores want them.
    pub keystore: PathBuf,
}

/// Makes them in `folder`.
pub fn make(folder: &Path) -> Certificates {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::default();
    authority
        .distinguished_name
        .push(DnType::CommonName, "Driftgate test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_certificate = authority
        .self_signed(&authority_key)
        .expect("the authority signs itself");

    let server_key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut server = CertificateParams::new(names).expect("two valid names");
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    let issuer = Issuer::new(authority, authority_key);
    let server_certificate = server
        .signed_by(&server_key, &issuer)
        .expect("the authority signs");

    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("the test's own folder can be written");
        file
    };
    let ca = authority_certificate.pem();
    let certificate = server_certificate.pem();
    let key = server_key.serialize_pem();
    Certificates {
        ca: write("ca.pem", &ca),
        certificate: write("server.pem", &certificate),
        key: write("server.key", &key),
        keystore: write("keystore.pem", &format!("{key}{certificate}{ca}")),
    }
}
