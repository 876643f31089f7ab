//! TLS to the servers of tables: whom to believe, who we are, and how far a server is looked at.
//!
//! One provider of cryptography, ring, for all of it (docs/decisions/0010-tls-provider.md). Files are read
//! when the table is opened, like its configuration: by whoever may, and again when they change. Only
//! directories of CAs are read at each connection, because nobody else can list them.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::desk::Fault;

/// Bytes of a file of certificates. Debian's list of all public CAs has 220 KiB.
const PEM_BYTES_MAX: usize = 4 << 20;
/// Files in a directory of CAs.
const CA_FILES_MAX: usize = 4096;
/// Where distributions keep the CAs that everybody trusts: Debian, Fedora, openSUSE, Alpine.
const SYSTEM_CAS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why no list of ciphers has an effect.
pub(crate) const TLS_CIPHERS: &str =
    ": there are only ciphers with forward secrecy and authenticated encryption";

/// How far a server is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// It may be anybody: only who listens without a part in it is kept out.
    Nothing,
    /// Somebody with a certificate of a trusted CA.
    Chain,
    /// The one whose name was configured.
    ChainAndName,
}

/// Files that a configuration names, each with the parameter that does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Files<'a> {
    /// CAs in one file. Goes before `ca_dir`.
    pub(crate) ca_file: Option<Named<'a>>,
    /// CAs in a directory.
    pub(crate) ca_dir: Option<Named<'a>>,
    /// Our certificate, with what leads to its CA.
    pub(crate) cert: Option<Named<'a>>,
    /// Its key.
    pub(crate) key: Option<Named<'a>>,
}

/// A parameter and the path that is its value.
pub(crate) type Named<'a> = (&'static str, &'a str);

/// A parameter, and what is wrong with it.
pub(crate) type Wrong = (&'static str, String);

/// How to be a client of a table's servers.
pub(crate) struct Tls {
    check: Check,
    trust: Trust,
    identity: Option<Identity>,
    /// Made once where all of it is known.
    ready: Option<Arc<ClientConfig>>,
}

/// Whose certificates count.
enum Trust {
    These(Vec<CertificateDer<'static>>),
    Directory(PathBuf),
}

/// Who we are.
pub(crate) struct Identity {
    /// As it was read, for a library that reads it itself.
    pub(crate) cert_pem: Vec<u8>,
    /// As it was read.
    pub(crate) key_pem: Vec<u8>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("check", &self.check).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files, by `read`. Where servers are checked and no CA is named, it is those of the
    /// system.
    pub(crate) fn new(
        files: Files<'_>,
        check: Check,
        read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, Wrong> {
        let trust = match (check, files.ca_file, files.ca_dir) {
            (Check::Nothing, ..) => Trust::These(Vec::new()),
            (_, Some((name, path)), _) => {
                let pem = read(path).map_err(|why| (name, why))?;
                Trust::These(authorities(&pem).map_err(|why| (name, format!("{path}: {why}")))?)
            }
            (_, None, Some((name, path))) => match path.starts_with('/') {
                true => Trust::Directory(path.into()),
                false => return Err((name, format!("\"{path}\": expected an absolute path"))),
            },
            (_, None, None) => Trust::These(system(read).map_err(|why| ("tls", why))?),
        };
        let identity = Identity::read(files, read)?;
        let mut tls = Self { check, trust, identity, ready: None };
        if let Trust::These(authorities) = &tls.trust {
            let config = tls.config(authorities).map_err(|error| ("tls", words(&error)))?;
            tls.ready = Some(Arc::new(config));
        }
        Ok(tls)
    }

    /// How far servers are looked at.
    pub(crate) fn check(&self) -> Check {
        self.check
    }

    /// Who we are, where we say so.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whose certificates count, as they are now.
    pub(crate) async fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, Fault> {
        match &self.trust {
            Trust::These(authorities) => Ok(authorities.clone()),
            Trust::Directory(path) => {
                let path = path.clone();
                let read = spawn_blocking(move || directory(&path)).await;
                read.unwrap_or_else(|error| Err(error.to_string())).map_err(Fault::refused)
            }
        }
    }

    /// Speaks TLS on a stream, to the server that is to have this name.
    pub(crate) async fn over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        name: &str,
    ) -> Result<TlsStream<S>, Fault> {
        let connector = self.connector().await?;
        let name = server_name(name)?;
        connector.connect(name, stream).await.map_err(|error| Fault::lost(cause(&error)))
    }

    /// For a library that is to speak TLS where it wants to.
    pub(crate) async fn connector(&self) -> Result<TlsConnector, Fault> {
        let config = match &self.ready {
            Some(config) => Arc::clone(config),
            None => {
                let authorities = self.authorities().await?;
                let config = self.config(&authorities);
                Arc::new(config.map_err(|error| Fault::refused(words(&error)))?)
            }
        };
        Ok(TlsConnector::from(config))
    }

    fn config(&self, authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(self.check, authorities, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        match &self.identity {
            Some(identity) => {
                builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            }
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

/// A name or address as TLS has it.
pub(crate) fn server_name(name: &str) -> Result<ServerName<'static>, Fault> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| Fault::refused(format_args!("\"{name}\" can be in no certificate")))
}

impl Identity {
    fn read(
        files: Files<'_>,
        read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Option<Self>, Wrong> {
        // One file may hold both, as libmysql and libldap have it.
        let ((cert_name, cert), (key_name, key)) = match (files.cert, files.key) {
            (None, None) => return Ok(None),
            (Some(cert), key) => (cert, key.unwrap_or(cert)),
            (None, Some((name, _))) => {
                return Err((name, "a key, and no certificate that it is for".to_owned()));
            }
        };
        let cert_pem = read(cert).map_err(|why| (cert_name, why))?;
        let key_pem = read(key).map_err(|why| (key_name, why))?;
        let chain = certificates(&cert_pem).map_err(|why| (cert_name, format!("{cert}: {why}")))?;
        let parsed = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| {
            (key_name, format!("{key}: holds no private key in PEM, or one with a password"))
        })?;
        // Whether they belong together.
        CertifiedKey::from_der(chain.clone(), parsed.clone_key(), &ring::default_provider())
            .map_err(|error| (key_name, format!("{key}: {}", words(&error))))?;
        Ok(Some(Self { cert_pem, key_pem, chain, key: parsed }))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(format!("larger than {PEM_BYTES_MAX} bytes"));
    }
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if all.is_empty() => Err("holds no certificate in PEM".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}

/// Certificates of CAs, of which one at least is good for something.
fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut all = certificates(pem)?;
    all.retain(is_usable);
    if all.is_empty() { Err("holds no certificate that can be read".to_owned()) } else { Ok(all) }
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

fn system(
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = SYSTEM_CAS.iter().find_map(|path| Some((path, read(path).ok()?)));
    let (path, pem) = found.ok_or_else(|| {
        format!("no CA is configured, and the system has none ({})", SYSTEM_CAS.join(", "))
    })?;
    authorities(&pem).map_err(|why| format!("{path}: {why}"))
}

/// All CAs in a directory, whatever their files are called. OpenSSL looks for the hash of a name, which
/// the same files have.
fn directory(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: io::Error| format!("{}: {error}", path.display());
    let (mut seen, mut all, mut bytes) = (HashSet::new(), Vec::new(), 0);
    for (count, entry) in fs::read_dir(path).map_err(wrong)?.enumerate() {
        if count >= CA_FILES_MAX {
            return Err(format!("{}: more than {CA_FILES_MAX} files", path.display()));
        }
        let file = entry.map_err(wrong)?.path();
        // Links lead to others of these files, or nowhere.
        let is_small = fs::metadata(&file)
            .is_ok_and(|it| it.is_file() && it.len() <= PEM_BYTES_MAX.try_into().unwrap_or(0));
        let Some(pem) = is_small.then(|| fs::read(&file).ok()).flatten() else { continue };
        bytes += pem.len();
        if bytes > 4 * PEM_BYTES_MAX {
            return Err(format!("{}: more than {} bytes", path.display(), 4 * PEM_BYTES_MAX));
        }
        for certificate in authorities(&pem).unwrap_or_default() {
            if seen.insert(certificate.clone()) {
                all.push(certificate);
            }
        }
    }
    if all.is_empty() {
        return Err(format!("{}: holds no certificate that can be read", path.display()));
    }
    Ok(all)
}

/// Looks at a server's certificate.
#[derive(Debug)]
struct Verifier {
    check: Check,
    /// None where nothing is checked.
    chain: Option<Arc<WebPkiServerVerifier>>,
    authorities: HashSet<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(
        check: Check,
        authorities: &[CertificateDer<'static>],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let chain = match check {
            Check::Nothing => None,
            Check::Chain | Check::ChainAndName => {
                let mut roots = RootCertStore::empty();
                for certificate in authorities {
                    roots.add(certificate.clone())?;
                }
                let builder =
                    WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
                Some(builder.build().map_err(|error| Error::General(error.to_string()))?)
            }
        };
        let authorities = authorities.iter().cloned().collect();
        Ok(Self { check, chain, authorities, provider: Arc::clone(provider) })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let verified = chain.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        use CertificateError::{NotValidForName, NotValidForNameContext, Other};
        match verified {
            // The name is looked at when the chain has been found good.
            Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if self.check == Check::Chain =>
            {
                Ok(ServerCertVerified::assertion())
            }
            // A certificate that signed itself and is trusted itself, which `openssl req -x509` marks as
            // one of a CA: OpenSSL takes it for a server's, webpki does not, and says so only when
            // its dates are right.
            Err(Error::InvalidCertificate(Other(_))) if self.authorities.contains(end_entity) => {
                if self.check == Check::ChainAndName {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    // Whoever it is, it has the key of the certificate that it shows.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The kinds of keys that certificates may have, in the order of the alphabet.
pub fn public_key_algorithms() -> Vec<String> {
    let schemes = ring::default_provider().signature_verification_algorithms.supported_schemes();
    // `ECDSA_NISTP256_SHA256`
    let kind =
        |scheme: &SignatureScheme| Some(scheme.as_str()?.split('_').next()?.to_ascii_lowercase());
    let mut all: Vec<String> = schemes.iter().filter_map(kind).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Why something did not work on a stream: the words of TLS, where it was that.
pub(crate) fn cause(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => words(error),
        None => error.to_string(),
    }
}

/// What an admin has to know of an error.
pub(crate) fn words(error: &Error) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidYet, NotValidYetContext, Other,
        UnknownIssuer,
    };
    let cause = match error {
        Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            "the server's certificate has expired".to_owned()
        }
        Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet".to_owned()
        }
        // webpki's word for it has no other way here.
        Error::InvalidCertificate(Other(why))
            if format!("{why:?}").contains("CaUsedAsEndEntity") =>
        {
            "the server's certificate is one of a CA and not of a server".to_owned()
        }
        Error::InvalidCertificate(UnknownIssuer) => {
            "the server's certificate is of no CA that is trusted here".to_owned()
        }
        Error::InvalidCertificate(NotValidForName) => {
            "the server's certificate is for another name".to_owned()
        }
        // Has both names in it.
        Error::InvalidCertificate(why) => format!("the server's certificate: {why}"),
        Error::AlertReceived(alert) => format!("the server refuses: {alert:?}"),
        Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        error => error.to_string(),
    };
    format!("TLS: {cause}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A certificate that signed itself, and its key.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap();
        (pem("CERTIFICATE", cert.der()), pem("PRIVATE KEY", &key.serialize_der()))
    }

    fn pem(label: &str, der: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in der.chunks(3) {
            let bits =
                (0..3).fold(0, |bits, at| bits << 8 | usize::from(*group.get(at).unwrap_or(&0)));
            for at in 0..4 {
                let digit = char::from(DIGITS[bits >> (18 - 6 * at) & 63]);
                text.push(if at <= group.len() { digit } else { '=' });
            }
        }
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }

    #[test]
    fn files_that_are_no_good_are_refused_by_parameter_and_path() {
        let ((cert, key), (_, other)) = (pair(), pair());
        let large = "x".repeat(PEM_BYTES_MAX + 1);
        let files: HashMap<&str, &str> = HashMap::from([
            ("/cert", &*cert),
            ("/key", &key),
            ("/other", &other),
            ("/text", "nothing"),
            ("/large", &large),
            ("/broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ]);
        let read = |path: &str| match files.get(path) {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => Err(format!("open {path}: not there")),
        };
        let tls = |ca: Option<&'static str>, cert: Option<&'static str>, key| {
            let (ca_file, cert) = (ca.map(|it| ("ca", it)), cert.map(|it| ("cert", it)));
            let files = Files { ca_file, ca_dir: None, cert, key };
            Tls::new(files, Check::Chain, &read).map(drop)
        };
        let key = |path| Some(("key", path));
        assert_eq!(tls(Some("/cert"), Some("/cert"), key("/key")), Ok(()));
        let large = format!("/large: larger than {PEM_BYTES_MAX} bytes");
        let no_key = "/text: holds no private key in PEM, or one with a password";
        for (ca, cert, key, parameter, why) in [
            ("/gone", None, None, "ca", "open /gone: not there"),
            ("/text", None, None, "ca", "/text: holds no certificate in PEM"),
            ("/key", None, None, "ca", "/key: holds no certificate in PEM"),
            ("/broken", None, None, "ca", "/broken: holds no certificate that can be read"),
            ("/large", None, None, "ca", &large),
            ("/cert", None, key("/key"), "key", "a key, and no certificate that it is for"),
            ("/cert", Some("/text"), key("/key"), "cert", "/text: holds no certificate in PEM"),
            ("/cert", Some("/cert"), key("/text"), "key", no_key),
            ("/cert", Some("/cert"), None, "key", ""),
            ("/cert", Some("/cert"), key("/other"), "key", "/other: TLS: "),
        ] {
            let Err((found, words)) = tls(Some(ca), cert, key) else { panic!("{ca} {cert:?}") };
            let parameter = if why.is_empty() { "cert" } else { parameter };
            assert_eq!(found, parameter, "{words}");
            assert!(words.starts_with(why), "{words}");
        }
        // Where no CA is named it is those of the system, if it has any.
        let Err((_, why)) = tls(None, None, None) else { panic!("whose?") };
        assert!(why.contains("/etc/ssl/certs/ca-certificates.crt"), "{why}");
    }

    #[test]
    fn a_directory_gives_what_can_be_read_of_it_up_to_a_limit() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        let empty = directory(path).unwrap_err();
        assert!(empty.ends_with("holds no certificate that can be read"), "{empty}");
        let (cert, key) = pair();
        fs::write(path.join("a.pem"), &cert).unwrap();
        fs::write(path.join("0123abcd.0"), cert + &pair().0).unwrap();
        fs::write(path.join("key"), key).unwrap();
        fs::write(path.join("noise"), [0xff; 100]).unwrap();
        std::os::unix::fs::symlink("nowhere", path.join("link")).unwrap();
        fs::create_dir(path.join("more")).unwrap();
        assert_eq!(directory(path).unwrap().len(), 2, "each once");
        for n in 0..CA_FILES_MAX {
            fs::write(path.join(n.to_string()), b"").unwrap();
        }
        let many = directory(path).unwrap_err();
        assert!(many.ends_with(&format!("more than {CA_FILES_MAX} files")), "{many}");
    }
}
