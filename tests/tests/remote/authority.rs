//! Two authorities that sign certificates, and the certificates of a server and its clients.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustix::process::geteuid;
use tests::server::NOBODY;

/// Their files, in the directory of a server, who can read them.
pub(crate) struct Authority {
    place: PathBuf,
}

/// A certificate and its key, by the name that their files have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Certificate {
    /// Of this host.
    Good,
    /// Of another one.
    OtherName,
    /// Of this host, once.
    Expired,
    /// Of this host, by nobody but itself, and marked as one of a CA: what `openssl req -x509` makes.
    SelfSigned,
    /// Of a client.
    Client,
}

impl Authority {
    /// Makes all of them.
    pub(crate) fn new(place: &Path) -> Self {
        let own = Self { place: place.to_owned() };
        let ca = issuer("an authority");
        own.write("ca.pem", &pem("CERTIFICATE", ca.der()));
        own.write("other-ca.pem", &pem("CERTIFICATE", issuer("another authority").der()));
        fs::create_dir(place.join("cas")).expect("a directory");
        fs::write(place.join("cas/note"), "no certificate").expect("a file");
        fs::write(place.join("cas/0a1b2c3d.0"), pem("CERTIFICATE", ca.der())).expect("a file");

        let here = ["localhost", "127.0.0.1", "::1"];
        own.sign(Certificate::Good, params(&here), &ca);
        own.sign(Certificate::OtherName, params(&["elsewhere.example"]), &ca);
        let mut expired = params(&here);
        expired.not_before = date_time_ymd(2020, 1, 1);
        expired.not_after = date_time_ymd(2021, 1, 1);
        own.sign(Certificate::Expired, expired, &ca);
        let mut client = params(&[]);
        client.distinguished_name.push(DnType::CommonName, "client");
        own.sign(Certificate::Client, client, &ca);

        let mut alone = params(&here);
        alone.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let signed = alone.self_signed(&key).expect("a certificate");
        own.write_pair(Certificate::SelfSigned, signed.der(), &key);
        own
    }

    /// The one that has signed everything.
    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// One that has signed nothing.
    pub(crate) fn other_ca(&self) -> String {
        self.path("other-ca.pem")
    }

    /// A directory that holds the former.
    pub(crate) fn ca_dir(&self) -> String {
        self.path("cas")
    }

    pub(crate) fn cert(&self, certificate: Certificate) -> String {
        self.path(&format!("{certificate:?}.pem"))
    }

    pub(crate) fn key(&self, certificate: Certificate) -> String {
        self.path(&format!("{certificate:?}.key"))
    }

    fn path(&self, name: &str) -> String {
        self.place.join(name).to_string_lossy().into_owned()
    }

    fn sign(&self, name: Certificate, params: CertificateParams, ca: &Issuer<'_, KeyPair>) {
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, ca).expect("a certificate");
        self.write_pair(name, signed.der(), &key);
    }

    fn write_pair(&self, name: Certificate, cert: &[u8], key: &KeyPair) {
        self.write(&format!("{name:?}.pem"), &pem("CERTIFICATE", cert));
        self.write(&format!("{name:?}.key"), &pem("PRIVATE KEY", &key.serialize_der()));
    }

    /// Servers want keys that are theirs and nobody else's.
    fn write(&self, name: &str, text: &str) {
        let path = self.place.join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our file");
        if geteuid().is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
        }
    }
}

/// RFC 7468
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2060, 1, 1);
    params.distinguished_name.remove(DnType::CommonName);
    params
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}
