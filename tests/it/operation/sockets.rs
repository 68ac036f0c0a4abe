//! Sockets that systemd opened: `systemd-socket-activate` plays it, and the unit's own file says how.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use super::{Process, eventually};
use crate::support::{Device, Endpoint, Service};

/// `muster serve` behind sockets of these names, each on a free port; `{}` of a name that is told twice is one.
fn activated(service: &Service, names: &str) -> (Command, Vec<u16>) {
    let free = || TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let ports: Vec<_> = names.split(':').map(|_| free()).collect();
    let mut command = Command::new("systemd-socket-activate");
    for port in &ports {
        command.arg(format!("--listen=127.0.0.1:{port}"));
    }
    command.arg(format!("--fdname={names}"));
    let serve = service.command();
    command.arg(serve.get_program()).args(serve.get_args());
    // It hands no environment down but what it is told to.
    command.stdout(Stdio::null()).stderr(fs::File::create(service.log_file()).expect("a log file"));
    (command, ports)
}

/// The first connection starts the service; it waits in the socket until it is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_comes_before_the_service_is_served() {
    let mut service = Service::start();
    service.create_group("machine", "G");
    let key = service.create_key("machine", "G", "k", &[]);
    assert!(service.stop().success());

    let (mut command, ports) = activated(&service, "enroll:admin:metrics");
    let process = Process::spawn(&mut command);
    let address = format!("127.0.0.1:{}", ports[0]).parse().unwrap();
    eventually("systemd-socket-activate", || std::net::TcpStream::connect(address).ok());
    let endpoint = Endpoint { address, anchor_pem: service.trust_anchor_pem() };
    let answer = Device::new("early").enroll(&endpoint, &key).await;
    assert_eq!(answer.status, 200, "{}", service.log());

    let ready = eventually("the ready file", || fs::read(service.dir().join("ready.json")).ok());
    let addresses: serde_json::Value = serde_json::from_slice(&ready).unwrap();
    for (name, port) in ["enroll", "admin", "metrics"].into_iter().zip(&ports) {
        assert_eq!(addresses[name], format!("127.0.0.1:{port}"), "{name}");
    }
    // The socket stays open after the service, as systemd has it, too; here until this process ends.
    process.terminate();
    eventually("the end", || service.log().contains("Stopped.").then_some(()));
}

#[test]
fn sockets_that_fit_no_listener_are_refused() {
    for (names, expected) in [
        ("enroll:portal", "hands over a socket named \"portal\": expected enroll, admin or metrics"),
        ("enroll:enroll", "hands over two sockets named \"enroll\""),
    ] {
        let service = Service::prepare("");
        let (mut command, ports) = activated(&service, names);
        let _process = Process::spawn(&mut command);
        eventually(expected, || {
            let _ = std::net::TcpStream::connect(("127.0.0.1", ports[0]));
            service.log().contains(expected).then_some(())
        });
        assert!(!service.data_dir().exists(), "{names}: nothing was begun");
    }
}

/// What `Type=notify` waits for.
#[test]
fn systemd_is_told_when_the_service_is_up_reloads_and_stops() {
    let service = Service::prepare("");
    let path = service.dir().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let told = || {
        let mut text = [0; 4096];
        let length = socket.recv(&mut text).expect("systemd is told");
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let process = Process::spawn(service.command().env("NOTIFY_SOCKET", &path).stderr(Stdio::null()));
    let up = told();
    assert!(up.starts_with("READY=1\nSTATUS=Muster is up: enrollment 127.0.0.1:"), "{up}");
    assert!(service.dir().join("ready.json").exists());
    process.signal("HUP");
    let reloading = told();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told().trim(), "READY=1");
    process.terminate();
    assert_eq!(told().trim(), "STOPPING=1");
}
