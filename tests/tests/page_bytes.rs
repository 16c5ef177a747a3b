//! The size of responses: a page of a list has at most 8 MiB, every resource is reached nevertheless, and what clients
//! do not read counts against their own tenant only.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tests::crowd;
use tests::okta::{encode, group, person};
use tests::plain::head;
use tests::tenant::Key;
use tests::{Answer, Okta, Stack, Tenant, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// Users with certificates, and the length of each of their two certificates: 20 MB in total.
const USERS: usize = 200;
const CERTIFICATE: usize = 50_000;
/// The maximum size of a response: 8 MiB of resources, and what each has in addition.
const MAX_RESPONSE: usize = 8 * 1_048_576 + USERS * 500;
/// Members of each of two groups: more than half of what fits on a page.
const MEMBERS: usize = 25_000;
/// Connections that read nothing: more than the tenant's share of response bytes allows.
const UNREAD: usize = 24;
/// The maximum that they may add to the memory of ingest, in MiB: the share is 64 MiB.
const MEMORY: usize = 250;
const SOON: Duration = Duration::from_secs(60);

/// A tenant whose users have certificates. Those of every other user compress well.
async fn certified(stack: &Stack, name: &str) -> Tenant {
    let tenant = stack.tenant(name).await;
    const CHUNK: usize = 20;
    for first in (1..=USERS).step_by(CHUNK) {
        let last = first + CHUNK - 1;
        let insert = format!(
            "insert into users (id, tenant_id, user_name_key, origin, resource, search, version, search_version, ticket, \
               created_ticket, created_at, modified_at) \
             select id, '{}', name, 'scim', resource, resource - 'x509Certificates', 1, 1, id, id, now(), now() \
             from generate_series({first}, {last}) n, \
               lateral (select ('0197' || lpad(to_hex(n), 8, '0') || '70008000' || left(md5('{name}' || n), 12))::uuid as id, \
                 'person-' || lpad(n::text, 3, '0') || '@{name}.example' as name, \
                 case when n % 2 = 0 then repeat('QUJD', {CERTIFICATE} / 4) else left((select string_agg(md5(n || '-' || m), '') \
                   from generate_series(1, {CERTIFICATE} / 32 + 1) m), {CERTIFICATE}) end as certificate) p, \
               lateral (select jsonb_build_object('userName', name, 'active', true, 'x509Certificates', \
                 jsonb_build_array(jsonb_build_object('value', certificate), jsonb_build_object('value', certificate || 'AAAA'))) \
                 as resource) r",
            tenant.id
        );
        stack.db().execute(&insert).await;
    }
    tenant
}

/// Checks a page and returns the ids on it.
fn ids_of(page: &Answer, total: usize, at: &str) -> Vec<String> {
    assert_eq!(page.total(), total as u64, "{at}");
    assert_eq!(page.body["itemsPerPage"], json!(page.resources().len()), "{at}");
    assert!(page.text.len() <= MAX_RESPONSE, "{at}: {} bytes", page.text.len());
    page.resources().iter().map(|resource| resource["id"].as_str().unwrap().to_owned()).collect()
}

/// Reads all pages by position. A client goes on after as many as it received (RFC 7644 §3.4.2.4).
async fn by_index(okta: &Okta, path: &str, total: usize) -> Vec<usize> {
    let (mut seen, mut lengths) = (BTreeSet::new(), Vec::new());
    while seen.len() < total {
        let at = format!("{path}startIndex={}&count=200", seen.len() + 1);
        let page = okta.get(&at).await.is(200);
        let ids = ids_of(&page, total, &at);
        assert!(!ids.is_empty(), "{at}: a page with resources left has at least one");
        lengths.push(ids.len());
        let before = seen.len();
        seen.extend(ids);
        assert_eq!(seen.len(), before + lengths.last().unwrap(), "{at}: a resource was repeated");
    }
    lengths
}

/// Reads all pages by cursor.
async fn by_cursor(okta: &Okta, path: &str, total: usize) -> Vec<usize> {
    let (mut seen, mut lengths, mut cursor) = (BTreeSet::new(), Vec::new(), String::new());
    loop {
        let at = format!("{path}count=200&cursor={}", encode(&cursor));
        let page = okta.get(&at).await.is(200);
        let ids = ids_of(&page, total, &at);
        lengths.push(ids.len());
        seen.extend(ids);
        match page.body["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), total, "{path}");
    assert_eq!(lengths.iter().sum::<usize>(), total, "{path}: a resource was repeated");
    lengths
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_bounded_in_bytes_and_reach_every_user() {
    let stack = Stack::shared().await;
    let okta = certified(&stack, "certified").await.okta();
    okta.push_group("Last").await.is(201);
    let filter = encode("userName sw \"person\"");
    for (path, total) in [
        ("/Users?".to_owned(), USERS),
        (format!("/Users?filter={filter}&"), USERS),
        ("/Users?sortBy=userName&sortOrder=descending&".to_owned(), USERS),
        ("?".to_owned(), USERS + 1),
    ] {
        for lengths in [by_index(&okta, &path, total).await, by_cursor(&okta, &path, total).await] {
            assert!(lengths.len() > 2 && lengths[0] > 50 && lengths[0] < 100, "{path}: {lengths:?}");
        }
    }
    // What is left out counts as well, because it is read.
    let names = by_index(&okta, "/Users?attributes=userName&", USERS).await;
    assert!(names[0] < 100, "{names:?}");
    // Small counts and single users are not affected.
    assert_eq!(okta.get("/Users?count=3&startIndex=2").await.is(200).resources().len(), 3);
    let found = okta.find("PERSON-002@certified.example").await.is(200);
    assert_eq!((found.total(), found.resources().len()), (1, 1));

    // By POST, after the last resource of the page before.
    let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
                         "startIndex": 150, "count": 200, "filter": "userName pr" });
    let page = okta.with_body("POST", "/Users/.search", &search).await.is(200);
    assert_eq!((page.total(), page.resources().len()), (USERS as u64, USERS - 149));
    let all = json!({ "schemas": search["schemas"], "count": 200 });
    let page = okta.with_body("POST", "/.search", &all).await.is(200);
    assert!(page.text.len() <= MAX_RESPONSE && page.resources().len() < 100, "{}", page.resources().len());
}

/// Connections with a request each, whose responses nobody reads.
async fn unread(stack: &Stack, key: &Key, path: &str) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..UNREAD {
        let socket = TcpSocket::new_v4().unwrap();
        // Otherwise the kernel takes some megabytes for the client.
        socket.set_recv_buffer_size(4_096).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], stack.ingests[0].port()));
        let mut stream = socket.connect(address).await.unwrap();
        let request = head("GET", path, Some(key)) + "\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        open.push(stream);
    }
    open
}

/// A tenant with unread responses gets 429, its changes are made, and another tenant is served. Then the connections
/// are closed, and the tenant is served again.
async fn only_its_tenant_suffers(stack: &Stack, tenant: &Tenant, path: &str, neighbour: &Okta) {
    let okta = tenant.okta();
    let ingest = &stack.ingests[0];
    let user = okta.create(&person("leaver@unread.example", "Lea", "Ver")).await.is(201).id();
    let before = ingest.memory();
    let open = unread(stack, &tenant.key, &format!("/scim/v2{path}")).await;
    let refused = eventually("the tenant's share is used up", SOON, async || {
        let answer = okta.once(okta.request("GET", path)).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    let refused = refused.is_error(429);
    assert!(refused.retry_after() > 0 && refused.detail().contains("response bytes"), "{}", refused.detail());
    // With retries: its key may have to be read while the first of the responses are.
    for _ in 0..5 {
        neighbour.get("/Users?count=200").await.is(200);
    }
    let left = okta.set_active(&user, false).await;
    assert!(matches!(left.status, 200 | 204), "a leaver leaves: {}", left.text);
    okta.delete(&user).await.is(204);
    let added = ingest.memory().saturating_sub(before);
    println!("{UNREAD} unread responses to {path} added {added} MiB to {before} MiB");
    assert!(added < MEMORY, "{added} MiB");
    drop(open);
    eventually("the tenant is served again", SOON, async || {
        (okta.once(okta.request("GET", path)).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_pages_count_against_their_own_tenant() {
    let stack = Stack::own().await;
    let (tenant, neighbour) = (certified(&stack, "unread").await, stack.tenant("reading").await.okta());
    neighbour.create(&person("ann@reading.example", "Ann", "Lee")).await.is(201);
    only_its_tenant_suffers(&stack, &tenant, "/Users?count=200", &neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_groups_with_many_members_are_bounded() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("guilds").await;
    crowd::insert(&stack.db(), &[(tenant.id, MEMBERS)]).await;
    let okta = tenant.okta();
    let mut ids = Vec::new();
    for name in ["One", "Two"] {
        let id = okta.push_group(name).await.is(201).id();
        let fill = format!(
            "insert into group_members (group_id, user_id) select '{id}', id from users where origin = 'scim' limit {MEMBERS}"
        );
        stack.db().execute(&fill).await;
        stack.db().execute(&format!("update groups set member_count = {MEMBERS} where id = '{id}'")).await;
        ids.push(id);
    }
    let members = |shown: &Value| shown["members"].as_array().map(Vec::len);
    for lengths in [by_index(&okta, "/Groups?", 2).await, by_cursor(&okta, "/Groups?", 2).await] {
        assert_eq!(lengths, [1, 1], "only one of the groups fits on a page");
    }
    assert_eq!(by_index(&okta, "/Groups?excludedAttributes=members&", 2).await, [2]);
    assert_eq!(members(&okta.group(&ids[0]).await.is(200).body), Some(MEMBERS));
    // A user in both groups has both.
    let page = okta.get("/Users?count=200").await.is(200);
    assert_eq!(page.resources().len(), 200);
    assert_eq!(page.resources()[0]["groups"].as_array().map(Vec::len), Some(2));
    let put = okta.with_body("PUT", &format!("/Groups/{}", ids[0]), &group("Few", &[])).await.is(200);
    assert_eq!(members(&put.body), Some(0));
}
