//! Users and passwords may be any text. The tests compare the commands that the server ran with the expected ones.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use redis_link::{Fact, Link, LinkConfig, Probe, Reply, ServerUrl, args};
use store_core::{Error, Secret};
use testkit::{RedisServer, RedisServerBuilder};

use crate::{COUNTS, INCREMENT, READS, config, eventually, link_to};

/// The commands of opening a connection, and those of the test itself.
const EXPECTED: [&str; 17] = [
    "acl|getuser",
    "acl|setuser",
    "acl|whoami",
    "auth",
    "client|id",
    "client|kill",
    "client|setname",
    "config|set",
    "evalsha",
    "script|load",
    "hello",
    "info",
    "ping",
    "select",
    "set",
    "time",
    "acl|list",
];

const REFUSED: &str = "the server does not accept this user and password";

/// Users per server.
const ROUNDS: u32 = 24;

/// A server to start, and its name in messages.
struct Kind {
    label: String,
    builder: RedisServerBuilder,
    has_resp3: bool,
}

/// The installed server and the fetched ones, each with RESP3 and with RESP2 only.
fn kinds() -> Vec<Kind> {
    let kinds = testkit::servers::available().into_iter().flat_map(|server| {
        [true, false].map(|has_resp3| {
            let builder = RedisServer::builder().program(&server.program);
            let builder = if has_resp3 { builder } else { builder.config("rename-command", "HELLO \"\"") };
            Kind { label: format!("{}, RESP{}", server.name, if has_resp3 { 3 } else { 2 }), builder, has_resp3 }
        })
    });
    kinds.collect()
}

/// A text of up to 1 KiB, mostly of characters with a special meaning.
fn any_text(random: &mut fastrand::Rng) -> String {
    let special = [
        "\n",
        "\r",
        "\r\n",
        "\t",
        " ",
        "\0",
        "\"",
        "'",
        "\\",
        "%",
        "@",
        ":",
        "/",
        "#",
        "?",
        "$",
        "*3\r\n",
        "+OK\r\n",
        "-ERR x\r\n",
        "\nFLUSHALL\n",
        "\r\nSET injected 1\r\n",
        " SETNAME injected ",
        "AUTH",
        "\u{feff}",
        "é",
        "\u{1f511}",
        "\u{2028}",
        "\x7f",
    ];
    let pieces = random.usize(..24);
    let mut text = String::new();
    for _ in 0..pieces {
        match random.u8(..4) {
            0 => text.push(random.char(..)),
            1 => (0..random.usize(..40)).for_each(|_| text.push(random.alphanumeric())),
            _ => text.push_str(special[random.usize(..special.len())]),
        }
    }
    while text.len() > 1024 {
        text.pop();
    }
    if random.u8(..8) == 0 { text.repeat((1024 / text.len().max(1)).max(1)) } else { text }
}

/// A name that an ACL accepts: no user has blanks or NUL in its name.
fn any_user(random: &mut fastrand::Rng) -> String {
    let name: String =
        any_text(random).chars().filter(|c| !c.is_ascii_whitespace() && !matches!(c, '\0' | '\x0b')).collect();
    format!("u{name}")
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_password_cannot_run_commands() {
    for Kind { label, builder, .. } in kinds() {
        let server = builder.password("right").start().await.unwrap();
        server.command(&["SET", "precious", "1"]).await.unwrap();
        let address = format!("127.0.0.1:{}", server.port());
        let file = server.dir().join("password");
        std::fs::write(&file, "x\nFLUSHALL\n").unwrap();
        let attacks = [
            config(&format!("redis://{address}")).with_password_file(&file),
            config(&format!("redis://:x%0d%0aFLUSHALL@{address}")),
            config(&format!("redis://:right%0d%0aFLUSHALL@{address}/3")),
            config(&format!("redis://default%20right%0d%0aFLUSHALL%0d%0a:x@{address}")),
        ];
        for attack in attacks {
            let refused = Probe::open(attack.with_connect_timeout(Duration::from_secs(5))).await.unwrap_err();
            assert!(
                matches!(&refused, Error::Unauthenticated { detail, .. } if detail == REFUSED),
                "{label}: {refused:?}"
            );
        }
        assert!(!server.command_calls().await.unwrap().contains_key("flushall"), "{label}");
        assert_eq!(server.command(&["EXISTS", "precious"]).await.unwrap().as_integer(), Some(1), "{label}");
    }
}

/// Random users and passwords, from the URL, from a file and as values, with and without a database number. The right
/// ones log in, also after a lost connection and after a rotation; the wrong ones are refused; no other command runs.
#[tokio::test]
async fn any_text_logs_in_and_runs_nothing() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    for Kind { label, builder, .. } in kinds() {
        let server = builder.password("kit").start().await.unwrap();
        server.command(&["SET", "precious", "1"]).await.unwrap();
        // Some servers run commands of their own when they start.
        let before = server.command_calls().await.unwrap();
        for round in 0..ROUNDS {
            let login = Login::any(&server, &mut random, round);
            login.check(&server).await.unwrap_or_else(|what| panic!("{label}, round {round}, SEED={seed}: {what}"));
        }
        let calls = server.command_calls().await.unwrap();
        let is_new = |name: &str, count: &u64| before.get(name) != Some(count) && !EXPECTED.contains(&name);
        let unexpected: Vec<_> = calls.iter().filter(|(name, count)| is_new(name, count)).collect();
        assert!(unexpected.is_empty(), "{label}, SEED={seed}: {unexpected:?}");
        assert_eq!(server.keys_count().await.unwrap(), 1, "{label}, SEED={seed}");
    }
}

/// How a link logs in.
struct Login {
    user: Option<String>,
    password: String,
    next_password: String,
    settings: LinkConfig,
    file: Option<PathBuf>,
}

impl Login {
    fn any(server: &RedisServer, random: &mut fastrand::Rng, round: u32) -> Self {
        let user = (!round.is_multiple_of(4)).then(|| any_user(random));
        // Without a user an empty password counts as none.
        let password = any_text(random) + if user.is_none() { "1" } else { "" };
        let next_password = any_text(random) + "2";
        let database = if round % 5 < 2 { "" } else { "/3" };
        let address = format!("127.0.0.1:{}{database}", server.port());
        let mut file = None;
        let settings = match round % 3 {
            0 => {
                let user = user.as_deref().map(encoded).unwrap_or_default();
                config(&format!("redis://{user}:{}@{address}", encoded(&password)))
            }
            source => {
                let mut settings = config(&format!("redis://{address}"));
                if let Some(user) = &user {
                    settings = settings.with_username(user);
                }
                if source == 1 {
                    settings.with_password_file(&*file.insert(server.dir().join("password")))
                } else {
                    settings.with_password(Secret::new(&*password))
                }
            }
        };
        Self { user, password, next_password, settings: settings.with_pool_size(1), file }
    }

    async fn check(&self, server: &RedisServer) -> Result<(), String> {
        self.set_password(server, &self.password).await;
        let before = errors(server).await;
        let link = Link::connect(self.settings.clone()).await.map_err(|error| error.to_string())?;
        let name = link.command(READS, "ACL WHOAMI", Vec::new()).await.map_err(|error| error.to_string())?;
        assert_eq!(name.reply.as_str(), Some(self.user.as_deref().unwrap_or("default")));
        let probe = Probe::open(self.settings.clone()).await.map_err(|error| error.to_string())?;
        assert!(matches!(probe.user().await, Fact::Known(_)));
        drop(probe);
        self.lose_connections(server, &link).await;
        assert_eq!(errors(server).await, before, "the right password causes no error");

        self.set_password(server, &self.next_password).await;
        if let Some(file) = &self.file {
            self.lose_connections(server, &link).await;
            std::fs::write(file, &self.password).unwrap();
        }
        link.close().await;
        match Link::connect(self.settings.clone()).await {
            Err(Error::Unauthenticated { detail, .. }) if detail == REFUSED => Ok(()),
            other => Err(format!("the old password is refused, not {other:?}")),
        }
    }

    async fn set_password(&self, server: &RedisServer, password: &str) {
        match &self.user {
            None => server.set_password(password).await.unwrap(),
            Some(user) => {
                let rule = format!(">{password}");
                server.command(&["ACL", "SETUSER", user, "reset", "on", "~*", "&*", "+@all", &rule]).await.unwrap();
            }
        }
        if let Some(file) = &self.file {
            // After a carriage return, a line feed would complete one line end.
            let is_long = password.ends_with('\r') || !password.len().is_multiple_of(2);
            std::fs::write(file, format!("{password}{}", if is_long { "\r\n" } else { "\n" })).unwrap();
        }
    }

    async fn lose_connections(&self, server: &RedisServer, link: &Link) {
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
        eventually("the link is back", async || link.ping().await.is_ok()).await;
    }
}

/// How often the server has answered with which error, except that it does not know HELLO.
async fn errors(server: &RedisServer) -> BTreeMap<String, String> {
    let mut errors: BTreeMap<_, _> = server.info("errorstats").await.unwrap().into_iter().collect();
    errors.remove("errorstat_ERR");
    errors
}

/// The commands of one connection, as MONITOR shows them.
#[tokio::test]
async fn a_connection_is_opened_by_few_commands_and_in_order() {
    for Kind { label, builder, has_resp3 } in kinds() {
        let server = builder.password("two words").start().await.unwrap();
        let mut monitor = server.connect().await.unwrap();
        monitor.command(&["MONITOR"]).await.unwrap();
        let name = "a\r\nFLUSHALL\r\n";
        for (number, name) in [(None, "tests:link"), (Some(3), "tests:link"), (Some(3), name)] {
            let url = ServerUrl::parse(&server.url(number)).unwrap();
            let link = Link::connect(LinkConfig::new(url, name).with_pool_size(1)).await.unwrap();
            link.command(READS, "ECHO", args!["last"]).await.unwrap();
            let mut sent = Vec::new();
            while !sent.last().is_some_and(|line: &String| line.contains("last")) {
                let line = monitor.receive().await.unwrap();
                // 1700000000.123456 [0 127.0.0.1:50000] "CLIENT" "ID"
                let command = line.as_str().unwrap().split_once("] ").unwrap().1;
                // the text of a script, and its digest
                let is_of_script = ["\"SCRIPT\"", "\"EVALSHA\""].iter().any(|name| command.starts_with(name));
                let words = if is_of_script { 1 } else { usize::MAX };
                sent.push(command.split(' ').take(words).collect::<Vec<_>>().join(" "));
            }
            let select = number.map(|number| format!("\"SELECT\" \"{number}\""));
            let named = format!("\"CLIENT\" \"SETNAME\" \"{}\"", name.escape_default());
            let mut expected = vec!["\"AUTH\" \"(redacted)\"", "\"CLIENT\" \"ID\"", "\"INFO\" \"server\""];
            // MONITOR does not show it if the server does not know it.
            expected.extend(has_resp3.then_some("\"HELLO\" \"3\""));
            expected.extend(select.as_deref());
            expected.extend([named.as_str(), "\"TIME\"", "\"SCRIPT\"", "\"EVALSHA\"", "\"ECHO\" \"last\""]);
            assert_eq!(sent, expected, "{label}");
        }
    }
}

/// Also without credentials, and with scripts, whose replies differ between the protocol versions.
#[tokio::test]
async fn servers_of_both_protocols_are_served() {
    for Kind { label, builder, has_resp3 } in kinds() {
        for password in [None, Some("right")] {
            let builder = password.map_or(builder.clone(), |password| builder.clone().password(password));
            let server = builder.start().await.unwrap();
            let link = link_to(&server).await;
            let clients = server.command(&["CLIENT", "LIST"]).await.unwrap();
            let version = if has_resp3 { "resp=3" } else { "resp=2" };
            let ours: Vec<_> = clients.as_str().unwrap().lines().filter(|line| line.contains("tests:link")).collect();
            assert!(ours.len() == 3 && ours.iter().all(|line| line.contains(version)), "{label}: {clients:?}");
            link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await.unwrap();
            let absent = link.command(READS, "GET", args!["absent"]).await.unwrap();
            assert_eq!(absent.reply, Reply::Nil, "{label}");
            let waited = link.blocking(READS, "BLPOP", args!["none", "0.01"], Duration::from_millis(10)).await;
            assert_eq!(waited.unwrap(), None, "{label}");
            let probe = Probe::open(config(&server.url(None))).await.unwrap();
            match probe.greeting() {
                Fact::Known(greeting) if has_resp3 => {
                    assert_eq!(
                        (greeting.mode.as_deref(), greeting.role.as_deref()),
                        (Some("standalone"), Some("master"))
                    );
                    assert!(greeting.server.is_some() && greeting.version.is_some());
                }
                greeting => assert!(!has_resp3 && matches!(greeting, Fact::Unknown(_)), "{greeting:?}"),
            }
            let mut refusing = vec![config(&format!("redis://:wrong@127.0.0.1:{}", server.port()))];
            refusing.push(config(&format!("redis://127.0.0.1:{}", server.port())));
            for settings in refusing.into_iter().filter(|_| password.is_some()) {
                let refused = Link::connect(settings).await;
                assert!(matches!(refused, Err(Error::Unauthenticated { .. })), "{label}: {refused:?}");
            }
        }
    }
}

/// The default user accepts any password if it needs none, and a user without a password logs in as itself.
#[tokio::test]
async fn a_password_that_is_not_needed_is_accepted() {
    for Kind { label, builder, .. } in kinds() {
        let server = builder.start().await.unwrap();
        server.command(&["ACL", "SETUSER", "open", "on", "nopass", "~*", "+@all"]).await.unwrap();
        server.command(&["ACL", "SETUSER", "empty", "on", ">", "~*", "+@all"]).await.unwrap();
        let address = format!("127.0.0.1:{}", server.port());
        for (login, user) in [
            (":any%0athing@", "default"),
            ("default:any@", "default"),
            ("default@", "default"),
            ("open@", "open"),
            ("open:any@", "open"),
            ("empty@", "empty"),
            ("empty:@", "empty"),
        ] {
            let link = Link::connect(config(&format!("redis://{login}{address}"))).await;
            let link = link.unwrap_or_else(|error| panic!("{label} {login}: {error}"));
            let name = link.command(READS, "ACL WHOAMI", Vec::new()).await.unwrap();
            assert_eq!(name.reply.as_str(), Some(user), "{label} {login}");
        }
    }
}

#[tokio::test]
async fn a_password_file_without_a_valid_password_is_refused_before_a_connection_is_opened() {
    let server = RedisServer::builder().password("right").start().await.unwrap();
    let connections =
        async || server.info("stats").await.unwrap()["total_connections_received"].parse::<u64>().unwrap();
    let before = connections().await;
    let file = server.dir().join("password");
    for (content, reason) in [
        (b"caf\xe9".to_vec(), "the password file is not UTF-8 text"),
        (vec![b'x'; 20_000], "the password file holds more than 16 KiB"),
    ] {
        std::fs::write(&file, content).unwrap();
        let settings = config(&format!("redis://127.0.0.1:{}", server.port())).with_password_file(&file);
        match Link::connect(settings).await {
            Err(Error::Unauthenticated { detail, .. }) => assert_eq!(detail, reason),
            other => panic!("refused, not {other:?}"),
        }
    }
    assert_eq!(connections().await, before + 1, "only the connection of this question");
}
