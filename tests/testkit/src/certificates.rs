use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A certificate authority with one server certificate for the given names and one client certificate, as PEM files: `ca.crt`,
/// `server.crt`, `server.key`, `client.crt`, `client.key`.
pub(crate) struct Certificates {
    folder: TempDir,
    client: Arc<ClientConfig>,
}

impl Certificates {
    pub(crate) fn generate(names: &[String]) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let folder = tempfile::Builder::new().prefix("testkit-tls-").tempdir()?;
        let mut authority = CertificateParams::default();
        // a unique name: otherwise certificates of another authority would seem to be issued by this one
        authority.distinguished_name.push(DnType::CommonName, format!("testkit authority {}", fastrand::u64(..)));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        fs::write(folder.path().join("ca.crt"), authority_certificate.pem())?;
        let issuer = Issuer::new(authority, authority_key);

        let leaf = |name: &str, subjects: &[String], usages: &[ExtendedKeyUsagePurpose]| {
            let mut params = CertificateParams::new(subjects)?;
            // unlike the authority's, or OpenSSL takes the certificate for a self-signed one
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = usages.to_vec();
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &issuer)?;
            fs::write(folder.path().join(format!("{name}.crt")), certificate.pem())?;
            fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem())?;
            Ok::<_, Box<dyn Error + Send + Sync>>((certificate.der().clone(), key.serialize_der()))
        };
        // a replica shows the server's certificate to its primary
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        leaf("server", names, &both)?;
        let (certificate, key) = leaf("client", &["testkit".to_owned()], &both[1..])?;

        let client = client_config(authority_certificate.der().clone(), certificate, key)?;
        Ok(Self { folder, client: Arc::new(client) })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with this authority and that of `other`, for a server that connects to servers of both.
    pub(crate) fn both_authorities(&self, other: &Self) -> std::io::Result<PathBuf> {
        let both = fs::read_to_string(self.file("ca.crt"))? + &fs::read_to_string(other.file("ca.crt"))?;
        fs::write(self.file("both.crt"), both)?;
        Ok(self.file("both.crt"))
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.client))
    }
}

fn client_config(
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
) -> Result<ClientConfig, Box<dyn Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], PrivateKeyDer::try_from(key)?)?;
    Ok(config)
}
