//! Encrypted connections, by rustls and its ring provider.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use fred::types::config::{TlsConfig, TlsConnector};
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{TlsFile, TlsFileProblem, TlsFiles};

/// A connector for these files, or what is wrong with them.
pub(super) fn connector(files: &TlsFiles) -> Result<TlsConfig, String> {
    let config = client_config(files).map_err(|what| format!("no encrypted connection can be made: {what}"))?;
    Ok(TlsConnector::from(config).into())
}

fn client_config(files: &TlsFiles) -> Result<ClientConfig, String> {
    let named = |problem: TlsFileProblem| problem.to_string();
    let roots = match &files.ca {
        Some(ca) => authorities(ca).map_err(named)?,
        None => of_system()?,
    };
    let builder = builder()?.with_root_certificates(roots);
    match (&files.certificate, &files.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => with_identity(builder, certificate, key).map_err(named),
        _ => Err("a certificate needs its private key, and a private key its certificate".into()),
    }
}

impl TlsFiles {
    /// Reads these files and returns a problem per file; if there is none, also checks that certificate and key belong
    /// together. Makes no connection.
    pub fn problems(&self) -> Vec<TlsFileProblem> {
        let ca = self.ca.as_deref().map(|path| authorities(path).map(drop));
        let certificate = self.certificate.as_deref().map(|path| certificates(TlsFile::Certificate, path).map(drop));
        let key = self.key.as_deref().map(|path| private_key(path).map(drop));
        let problems: Vec<_> = [ca, certificate, key].into_iter().flatten().filter_map(Result::err).collect();
        let (true, Some(certificate), Some(key)) = (problems.is_empty(), &self.certificate, &self.key) else {
            return problems;
        };
        let builder = builder().ok().map(|builder| builder.with_root_certificates(RootCertStore::empty()));
        builder.and_then(|builder| with_identity(builder, certificate, key).err()).into_iter().collect()
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| "this build has no TLS version to offer".to_owned())
}

fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &Path,
    key: &Path,
) -> Result<ClientConfig, TlsFileProblem> {
    let chain = certificates(TlsFile::Certificate, certificate)?;
    builder.with_client_auth_cert(chain, private_key(key)?).map_err(|_| {
        let reason = format!("is not the private key of the certificate {}", certificate.display());
        TlsFileProblem::new(TlsFile::Key, key, reason)
    })
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsFileProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(TlsFile::Authorities, path)? {
        let problem = |_| TlsFileProblem::new(TlsFile::Authorities, path, "contains a certificate that is not valid");
        roots.add(certificate).map_err(problem)?;
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this system has no certificates of authorities; name a file that holds them".into());
    }
    Ok(roots)
}

fn certificates(file: TlsFile, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileProblem> {
    let bytes = bytes_of(file, path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = read.map_err(|_| TlsFileProblem::new(file, path, "contains a damaged PEM block"))?;
    if certificates.is_empty() {
        return Err(TlsFileProblem::new(file, path, "contains no certificate in PEM form"));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileProblem> {
    let problem = |reason: &str| TlsFileProblem::new(TlsFile::Key, path, reason);
    let bytes = bytes_of(TlsFile::Key, path)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(problem("contains an encrypted private key; store it without a passphrase"));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => problem("contains no private key in PEM form"),
        _ => problem("contains a damaged PEM block"),
    })
}

fn bytes_of(file: TlsFile, path: &Path) -> Result<Vec<u8>, TlsFileProblem> {
    fs::read(path).map_err(|error| TlsFileProblem::new(file, path, format!("cannot be read: {}", error.kind())))
}
