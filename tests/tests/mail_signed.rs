//! DKIM-signed mail, verified as a receiver does.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::{RsaPrivateKey, RsaPublicKey};
use tests::dkim::verify;
use tests::okta::person;
use tests::smtp::SmtpServer;
use tests::stack::Options;
use tests::{Stack, eventually};

/// Writes a file that only its owner can read.
fn private(path: &Path, content: &[u8]) {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signature_is_valid_and_detects_changes() {
    let key = RsaPrivateKey::new(&mut OsRng, 1_024).unwrap();
    let file = std::env::temp_dir().join(format!("rollcall-dkim-{}.pem", platform::id::new()));
    private(&file, key.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes());
    let server = SmtpServer::start().await;
    let environment = vec![
        ("ROLLCALL_DKIM_KEY", file.to_str().unwrap().to_owned()),
        ("ROLLCALL_DKIM_SELECTOR", "2026a".to_owned()),
    ];
    let mail_url = Some(format!("smtp://127.0.0.1:{}", server.port));
    let stack = Stack::start(Options { mail_url, environment, ..Options::default() }).await;
    let tenant = stack.tenant("signed").await;
    tenant.set(&stack, &["locale=de", "brand_name=Acme Söhne & Töchter"]).await;
    let id = tenant.okta().create(&person("zoe@signed.example", "Zoë", "Weiß")).await.is(201).id();
    let title = "Ein langer Titel über Brandschutz, Erste Hilfe und alles, was sonst noch zu wissen ist .";
    tenant.content().tell(&tenant.content().assigned(&id, title)).await.is(202);
    let mail =
        eventually("the mail is accepted", Duration::from_secs(20), async || server.taken().pop()).await;
    std::fs::remove_file(file).unwrap();

    let public = RsaPublicKey::from(&key);
    let signature = verify(&mail.raw, &public).unwrap_or_else(|e| panic!("{e}: {}", mail.raw));
    assert_eq!((signature.domain.as_str(), signature.selector.as_str()), ("rollcall.example", "2026a"));
    for name in ["from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post"] {
        assert!(signature.headers.iter().any(|signed| signed == name), "{name}");
    }
    for (from, to) in [
        ("zoe@signed.example", "eve@signed.example"),
        ("Content-Type: text/html", "Content-Type: text/plain"),
    ] {
        assert!(mail.raw.contains(from), "{}", mail.raw);
        verify(&mail.raw.replacen(from, to, 1), &public).unwrap_err();
    }
    let added = format!("List-Unsubscribe: <https://eve.example>\r\n{}", mail.raw);
    verify(&added, &public).unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unsubscribe_link_and_a_tenants_own_sender_are_signed() {
    let folder = std::env::temp_dir().join(format!("rollcall-dkim-{}", platform::id::new()));
    std::fs::create_dir_all(&folder).unwrap();
    let keys = ["rollcall.example", "own.example"].map(|domain| {
        let key = RsaPrivateKey::new(&mut OsRng, 1_024).unwrap();
        let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        private(&folder.join(format!("{domain}.pem")), pem.as_bytes());
        RsaPublicKey::from(&key)
    });
    let server = SmtpServer::start().await;
    let environment = vec![
        ("ROLLCALL_DKIM_KEY", folder.to_str().unwrap().to_owned()),
        ("ROLLCALL_UNSUBSCRIBE_KEY", "k".repeat(32)),
        ("ROLLCALL_PUBLIC_URL", "https://scim.example".to_owned()),
    ];
    let mail_url = Some(format!("smtp://127.0.0.1:{}", server.port));
    let stack = Stack::start(Options { mail_url, environment, ..Options::default() }).await;
    let tenant = stack.tenant("own").await;
    tenant.set(&stack, &["assignment_mail=every"]).await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let id = okta.create(&person("zoe@own.example", "Zoë", "Weiß")).await.is(201).id();
    let taken = async |count: usize| {
        eventually(format!("{count} mails"), Duration::from_secs(20), async || {
            let sent = stack.db().ledger(&id).await.iter().filter(|line| line["state"] == "sent").count();
            server.taken().pop().filter(|_| server.taken().len() == count && sent == count)
        })
        .await
    };
    content.tell(&content.assigned(&id, "First")).await.is(202);
    taken(1).await;
    content.tell(&content.assigned(&id, "Second")).await.is(202);
    let mail = taken(2).await;
    let signature = verify(&mail.raw, &keys[0]).unwrap_or_else(|e| panic!("{e}: {}", mail.raw));
    assert_eq!(signature.domain, "rollcall.example");
    let link = "https://scim.example/unsubscribe/";
    let (head, body) = mail.raw.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(link), "{head}");
    verify(&format!("{}\r\n\r\n{body}", head.replace(link, "https://eve.example/u/")), &keys[0]).unwrap_err();

    tenant.set(&stack, &["mail_sender=lernen@own.example"]).await;
    content.tell(&content.assigned(&id, "Third")).await.is(202);
    let mail = taken(3).await;
    let signature = verify(&mail.raw, &keys[1]).unwrap_or_else(|e| panic!("{e}: {}", mail.raw));
    assert_eq!((signature.domain.as_str(), mail.from.as_str()), ("own.example", "lernen@own.example"));
    std::fs::remove_dir_all(folder).unwrap();
}
