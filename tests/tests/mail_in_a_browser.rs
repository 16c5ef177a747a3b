//! Mail rendered in a browser: every kind, light and dark, on phone and desktop widths, checked by measurements.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::Stack;
use tests::stack::Said;

/// Widths in CSS pixels: phone and desktop.
const WIDTHS: [u32; 2] = [360, 1_280];
/// Colour schemes, by Chromium's numbers (Blink's `PreferredColorScheme`).
const SCHEMES: [(&str, &str); 2] = [("dark", "0"), ("light", "1")];
/// Every kind, each in another language.
const KINDS: [(&str, &str, &str); 4] = [
    ("welcome", "en", "1"),
    ("first_assignment", "de", "1"),
    ("assignment", "fr", "2"),
    ("digest", "es", "24"),
];
const LONG: &str =
    "brand_name=Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft";

/// The browser: `CHROMIUM`, or the first of its usual names in `PATH`.
fn chromium() -> PathBuf {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = || std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    let set = std::env::var_os("CHROMIUM").map(PathBuf::from);
    set.or_else(|| in_path().find(|file| file.is_file()))
        .expect("CHROMIUM names a browser, or chromium is installed")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_mail_is_readable_light_and_dark_on_phone_and_desktop() {
    // Set by deploy/test where Chromium cannot be installed.
    if std::env::var_os("ROLLCALL_WITHOUT_CHROMIUM").is_some() {
        return;
    }
    let stack = Stack::shared().await;
    let mut mails = Vec::new();
    for (name, settings) in [
        ("looks-plain", vec![]),
        (
            "looks-pale",
            vec![
                LONG,
                "brand_colour=#ffffff",
                "learning_url=https://learn.example/a/very/long/path/that/goes/on/and/on/and/on/and/on",
            ],
        ),
        (
            "looks-grey",
            vec!["brand_name=Acme", "brand_logo=https://acme.example/l.png", "brand_colour=#7a7a7a"],
        ),
    ] {
        let tenant = stack.tenant(name).await;
        if !settings.is_empty() {
            tenant.set(&stack, &settings).await;
        }
        let (stack, name) = (&*stack, &tenant.name);
        mails.extend(
            join_all(KINDS.map(async |(kind, locale, items)| {
                let file = stack.folder().join(format!("{name}-{kind}.html"));
                let to = file.to_str().unwrap();
                let arguments = [
                    "mail", "preview", name, "--kind", kind, "--locale", locale, "--items", items, "--to", to,
                ];
                stack.rollcall(&arguments).await.well();
                (format!("{kind} of {name}"), std::fs::read_to_string(file).unwrap())
            }))
            .await,
        );
    }
    let page = page(&mails);
    let file = stack.folder().join("mails.html");
    std::fs::write(&file, page).unwrap();
    for (scheme, number) in SCHEMES {
        let seen = look(&stack, &file, scheme, number).await;
        assert_eq!(seen["looked_at"], mails.len() * WIDTHS.len());
        assert_eq!(seen["problems"], json!([]), "{scheme}");
    }
}

/// A page with every mail in every width, and the measuring script. (Frames loaded from files would be cross-origin.)
fn page(mails: &[(String, String)]) -> String {
    let mut page =
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">"
            .to_owned();
    for (name, html) in mails {
        let html = html.replace('&', "&amp;").replace('"', "&quot;");
        for width in WIDTHS {
            write!(page, "<iframe title=\"{name} on {width}\" style=\"width:{width}px;height:900px;border:0\" srcdoc=\"{html}\"></iframe>").unwrap();
        }
    }
    page + "<pre></pre><script>" + include_str!("mail_in_a_browser/measure.js") + "</script>"
}

/// The script's result.
async fn look(stack: &Stack, file: &std::path::Path, scheme: &str, number: &str) -> Value {
    let mut command = Command::new("timeout");
    command.arg("60").arg(chromium()).args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // Do not fetch logos.
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ]);
    command.arg(format!("--user-data-dir={}", stack.folder().join(format!("chromium-{scheme}")).display()));
    command.arg(format!("--blink-settings=preferredColorScheme={number}")).arg("--dump-dom");
    command.arg(format!("file://{}", file.display()));
    let said = Said::by(command).await.well();
    let found = said.out.rsplit_once("<pre>").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (found, _) = found.unwrap_or_else(|| panic!("{scheme}: the browser produced no output"));
    serde_json::from_str(&found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        .unwrap_or_else(|e| panic!("{scheme}: the script failed: {e}: {found}"))
}
