//! A key leads to its own signing certificate and to no other, however groups, keys and certificates lie.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::support::device::{connect, read_answer};
use crate::support::{Answer, Device, Openssl, Random, Service};

const KINDS: [&str; 4] = ["app-connector", "service-edge", "network-connector", "machine"];
const AUTHORITIES: [&str; 5] = ["Alpha", "Beta", "Gamma", "Delta", "Epsilon"];
const GROUPS: u64 = 6;
const KEYS: u64 = 10;
const MOVES: u64 = 6;

struct Group {
    id: String,
    kind: &'static str,
    name: String,
    authority: usize,
}

struct Key {
    name: String,
    string: String,
    group: usize,
    authority: usize,
    devices: u64,
}

struct Layout {
    service: Service,
    openssl: Openssl,
    random: Random,
    groups: Vec<Group>,
    keys: Vec<Key>,
}

impl Layout {
    fn new() -> Self {
        let service = Service::start_with("[enroll]\nfailures_per_second = 0\n");
        let mut random = Random::seeded();
        let openssl = Openssl::new();
        for (n, name) in AUTHORITIES.iter().enumerate() {
            // Two roots, the others below one of them or below the first start's.
            let above = ["Root", AUTHORITIES[0], AUTHORITIES[1]][random.below(3) as usize];
            let parent: &[&str] = if n < 2 { &[] } else { &["--parent", above] };
            service.cli_ok(&[&["signing-cert", "create", "--name", name], parent].concat());
            // Without those above it: this one alone shall vouch for anybody.
            const END: &str = "-----END CERTIFICATE-----";
            let chain = service.cli_ok(&["signing-cert", "certificate", name]);
            let (own, _) = chain.split_once(END).expect("PEM");
            openssl.write(&format!("{name}.pem"), format!("{own}{END}\n"));
        }
        let mut layout = Self { service, openssl, random, groups: Vec::new(), keys: Vec::new() };
        (0..GROUPS).for_each(|n| layout.make_group(n));
        (0..KEYS).for_each(|n| layout.make_key(n));
        layout
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).expect("it is below a usize")
    }

    fn make_group(&mut self, n: u64) {
        let (kind, authority) = (KINDS[self.below(KINDS.len())], self.below(AUTHORITIES.len()));
        let name = format!("g{n}");
        let of = ["--kind", kind, "--name", &name, "--signing-cert", AUTHORITIES[authority]];
        let id = self.service.cli_ok(&[&["group", "create"], &of[..]].concat());
        self.groups.push(Group { id, kind, name, authority });
    }

    fn make_key(&mut self, n: u64) {
        let group = self.below(self.groups.len());
        let own = (self.random.below(2) == 0).then(|| self.below(AUTHORITIES.len()));
        let Group { kind, name: group_name, authority, .. } = &self.groups[group];
        let name = format!("k{n}");
        let signer = own.map(|own| ["--signing-cert", AUTHORITIES[own]]);
        let more = [&["--max-uses", "100"][..], signer.as_ref().map_or(&[][..], |signer| &signer[..])].concat();
        let string = self.service.create_key(kind, group_name, &name, &more);
        self.keys.push(Key { name, string, group, authority: own.unwrap_or(*authority), devices: 0 });
    }

    /// Gives a key another signing certificate, or a group; a group's is that of its later keys only.
    fn move_one(&mut self) {
        let authority = self.below(AUTHORITIES.len());
        let to = ["--signing-cert", AUTHORITIES[authority]];
        if self.random.below(2) == 0 {
            let at = self.below(self.keys.len());
            let kind = self.groups[self.keys[at].group].kind;
            self.service.cli_ok(&[&["key", "edit", "--kind", kind, &self.keys[at].name], &to[..]].concat());
            self.keys[at].authority = authority;
        } else {
            let at = self.below(self.groups.len());
            let Group { kind, name, .. } = &self.groups[at];
            self.service.cli_ok(&[&["group", "edit", "--kind", kind, name], &to[..]].concat());
            self.groups[at].authority = authority;
        }
    }

    /// Each key enrolls one device more, at either door.
    async fn enroll_each(&mut self) {
        for at in 0..self.keys.len() {
            let Key { name, string, group, authority, devices } = &mut self.keys[at];
            *devices += 1;
            let device = Device::new(&format!("{name}-{devices}"));
            let Group { kind, id, .. } = &self.groups[*group];
            let answer = device.enroll(&self.service.endpoint(), string).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.body);
            assert_eq!((answer.text("kind").as_str(), answer.text("groupId")), (*kind, id.clone()), "{name}");
            self.openssl.write("leaf.pem", answer.text("certificate"));
            for (n, authority_name) in AUTHORITIES.iter().enumerate() {
                let verified = self
                    .openssl
                    .output(&format!("verify -partial_chain -CAfile @{authority_name}.pem @leaf.pem"))
                    .status
                    .success();
                assert_eq!(verified, n == *authority, "{name} of {id}: by {authority_name}");
            }
            // Below the label of another group it is no key at all.
            let other = &self.groups[(*group + 1) % self.groups.len()].id;
            let strayed = simple_enroll(&self.service, other, &device, string).await;
            assert_eq!(strayed.status, 404, "{name} of {id} below {other}: {}", strayed.body);
            assert_eq!(self.service.uses(kind, name), *devices, "{name}");
        }
    }
}

async fn simple_enroll(service: &Service, label: &str, device: &Device, key: &str) -> Answer {
    let csr = device.csr();
    let credentials = STANDARD.encode(format!("{}:{key}", device.fingerprint));
    let head = format!(
        "POST /.well-known/est/{label}/simpleenroll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/pkcs10\r\n\
         authorization: Basic {credentials}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        csr.len()
    );
    let mut stream = connect(&service.endpoint()).await.expect("a connection");
    stream.write_all((head + &csr).as_bytes()).await.expect("a request");
    read_answer(&mut stream).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_never_leads_below_another_signing_certificate() {
    let mut layout = Layout::new();
    layout.enroll_each().await;
    for _ in 0..MOVES {
        layout.move_one();
    }
    // Keys made now have what their groups have now.
    (KEYS..KEYS + 2).for_each(|n| layout.make_key(n));
    layout.enroll_each().await;

    // A kind's list has none of another kind's keys, whichever way it is asked for.
    for key in &layout.keys {
        let own = layout.groups[key.group].kind;
        for kind in KINDS {
            let found = layout.service.cli(&["key", "show", "--json", "--kind", kind, &key.name]);
            assert_eq!(found.status.success(), kind == own, "{} as {kind}", key.name);
            let of_kind: Option<Value> = serde_json::from_slice(&found.stdout).ok();
            assert_eq!(of_kind.is_some(), kind == own);
        }
    }
    layout.service.assert_healthy();
}
