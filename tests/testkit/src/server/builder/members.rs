use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Kind, RedisServerBuilder, StartError, quoted};
use crate::RedisServer;
use crate::certificates::Certificates;
use crate::port::ReservedPort;

/// What a member of a topology needs.
impl RedisServerBuilder {
    /// A sentinel without anything to monitor.
    pub(crate) fn sentinel() -> Self {
        let mut builder = Self::new().member(Kind::Sentinel);
        builder.settings = [("bind".to_owned(), "127.0.0.1".to_owned())].into();
        builder
    }

    pub(crate) fn member(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn listen_on(mut self, port: &Arc<ReservedPort>) -> Self {
        self.port = Some(Arc::clone(port));
        self
    }

    pub(crate) fn line(mut self, line: String) -> Self {
        self.lines.push(line);
        self
    }

    pub(crate) fn first_command(mut self, command: &[&str]) -> Self {
        self.first_commands.push(command.iter().map(ToString::to_string).collect());
        self
    }

    /// User and password of the kit's own client, if it must log in.
    pub(crate) fn credentials(&self) -> Option<(String, String)> {
        let default = || Some(("default".to_owned(), self.password.clone()?));
        self.login.clone().or_else(default)
    }

    /// Lets this server replicate any other one that was built with the same users and certificates, with less waiting.
    pub(crate) fn replicates_each_other(mut self) -> Self {
        if let Some((user, password)) = self.credentials() {
            self = self.config("masteruser", &quoted(&user)).config("masterauth", &quoted(&password));
        }
        if self.tls {
            self = self.config("tls-replication", "yes");
        }
        // Without a disk, the primary sends a replica nothing after the first synchronisation for up to 1 s.
        // 60 s and 10 s are the defaults of the others.
        self.config("repl-diskless-sync", "no").config("repl-timeout", "5").config("repl-ping-replica-period", "1")
    }

    /// Makes this a node of a cluster, which knows the cluster from this `nodes.conf` when it starts for the first time.
    pub(crate) fn cluster_node(mut self, bus: &Arc<ReservedPort>, nodes: String) -> Self {
        self.bus = Some(Arc::clone(bus));
        self.nodes = Some(nodes);
        if self.tls {
            self = self.config("tls-cluster", "yes");
        }
        self.config("cluster-enabled", "yes").config("cluster-port", &bus.number().to_string())
    }

    /// Makes the certificates, if TLS needs any, so that copies of this builder share them.
    pub(crate) fn make_certificates(&mut self) -> Result<(), StartError> {
        if self.tls && self.certificates.is_none() {
            self.certificates = Some(Arc::new(Certificates::generate(&self.names).map_err(StartError::Certificates)?));
        }
        Ok(())
    }

    /// Uses TLS with the certificates of `own`, and connects to other servers with the client certificate of `data`.
    pub(crate) fn tls_beside(mut self, own: &Arc<Certificates>, data: &Certificates) -> io::Result<Self> {
        self.certificates = Some(Arc::clone(own));
        let set =
            |builder: Self, (name, path): (&str, PathBuf)| builder.config(name, &quoted(&path.display().to_string()));
        let files = [
            ("tls-ca-cert-file", own.both_authorities(data)?),
            ("tls-client-cert-file", data.file("client.crt")),
            ("tls-client-key-file", data.file("client.key")),
        ];
        Ok(files.into_iter().fold(self.mutual_tls(), set))
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        self.tls
    }

    /// [`replica_of`](Self::replica_of) at an address under which the primary is announced, with the credentials that are set already.
    pub(crate) fn replica_at(mut self, primary: &RedisServer, host: &str, port: u16) -> Self {
        self.replicates = true;
        self.certificates = primary.certificates();
        self.config("replicaof", &format!("{host} {port}"))
    }
}
