//! An independent verifier of DKIM signatures (RFC 6376).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::sha2::{Digest, Sha256};
use rsa::{Pkcs1v15Sign, RsaPublicKey};

/// Verifies a mail's only signature, in relaxed/relaxed canonicalization.
///
/// # Errors
/// What is wrong with it.
pub fn verify(mail: &str, key: &RsaPublicKey) -> Result<Signature, &'static str> {
    let (head, body) = mail.split_once("\r\n\r\n").ok_or("no body")?;
    let headers = unfolded(head);
    let [(_, value)] = named(&headers, "dkim-signature").collect::<Vec<_>>()[..] else {
        return Err("not one signature");
    };
    let tag = |name: &str| {
        let tags = value.split(';').filter_map(|tag| tag.split_once('='));
        tags.map(|(tag, value)| (tag.trim(), value.trim()))
            .find(|(tag, _)| *tag == name)
            .map(|(_, value)| value)
    };
    let packed = |name: &str| tag(name).map(|value| value.split_whitespace().collect::<String>());
    if (tag("v"), tag("a"), tag("c")) != (Some("1"), Some("rsa-sha256"), Some("relaxed/relaxed")) {
        return Err("of another kind");
    }
    if packed("bh") != Some(STANDARD.encode(Sha256::digest(relaxed_body(body)))) {
        return Err("the body was changed");
    }
    let signed: Vec<String> =
        packed("h").ok_or("no headers")?.split(':').map(str::to_ascii_lowercase).collect();
    let mut hash = Sha256::new();
    for name in &signed {
        // Each header occurs once, or is signed as absent.
        if let Some((name, value)) = named(&headers, name).next_back() {
            hash.update(format!("{name}:{value}\r\n"));
        }
    }
    let signature = packed("b").ok_or("no signature")?;
    let start = value.find("; b=").ok_or("no signature")? + "; b=".len();
    hash.update(format!("dkim-signature:{}", &value[..start]));
    let bytes = STANDARD.decode(signature).map_err(|_| "no base64")?;
    key.verify(Pkcs1v15Sign::new::<Sha256>(), &hash.finalize(), &bytes)
        .map_err(|_| "the headers were changed")?;
    let text = |name: &str| tag(name).unwrap_or_default().to_owned();
    Ok(Signature { domain: text("d"), selector: text("s"), headers: signed })
}

fn named<'a>(
    headers: &'a [(String, String)],
    name: &'a str,
) -> impl DoubleEndedIterator<Item = &'a (String, String)> {
    headers.iter().filter(move |(own, _)| own == name)
}

/// The tags of a valid signature.
#[derive(Debug)]
pub struct Signature {
    /// The signing domain.
    pub domain: String,
    /// The selector of the key.
    pub selector: String,
    /// The signed headers, in lower case.
    pub headers: Vec<String>,
}

/// The unfolded headers: names in lower case, white space collapsed.
fn unfolded(head: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        match (line.starts_with([' ', '\t']), headers.last_mut()) {
            (true, Some((_, value))) => *value += line,
            _ => {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                headers.push((name.trim().to_ascii_lowercase(), value.to_owned()));
            }
        }
    }
    for (_, value) in &mut headers {
        *value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    }
    headers
}

fn relaxed_body(body: &str) -> String {
    let line = |line: &str| {
        let mut out = String::new();
        for c in line.trim_end_matches([' ', '\t']).chars() {
            match c {
                ' ' | '\t' if out.ends_with(' ') => {}
                ' ' | '\t' => out.push(' '),
                c => out.push(c),
            }
        }
        out
    };
    let lines: Vec<String> = body.split("\r\n").map(line).collect();
    let lines = lines.join("\r\n");
    let trimmed = lines.trim_end_matches("\r\n");
    if trimmed.is_empty() { String::new() } else { format!("{trimmed}\r\n") }
}
