use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use redissync_e2e::{Mode, Proxy, wait_until};

/// Sends back what it gets, behind a word of its own, until the test's process ends.
fn echo(word: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let answer = [word, &buffer[..count]].concat();
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, text: &[u8], answer_length: usize) -> Vec<u8> {
    stream.write_all(text).unwrap();
    let mut answer = vec![0; answer_length];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    let silent = match stream.read(&mut [0; 16]) {
        Err(err) => err.kind() == ErrorKind::WouldBlock,
        Ok(_) => false,
    };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    silent
}

#[test]
fn pass_passes_and_counts_and_tells_the_end() {
    let proxy = Proxy::start(&echo(b"a")).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, b"hello", 6), b"ahello");
    let traffic = proxy.traffic();
    assert_eq!((traffic.to_upstream_bytes, traffic.from_upstream_bytes), (5, 6));
    assert_eq!((traffic.connections, traffic.open_connections), (1, 1));
    drop(stream);
    wait_until("the connection's end", Duration::from_secs(5), || {
        Ok((proxy.traffic().open_connections == 0).then_some(()))
    })
    .unwrap();
}

#[test]
fn much_passes_unchanged() {
    let proxy = Proxy::start(&echo(b"")).unwrap();
    let mut stream = connect(&proxy);
    let text: Vec<u8> = (0..8_000_000u32).map(|number| ((number * 31) >> 3) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = text.clone();
    let thread = thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    thread.join().unwrap();
    assert!(answer == text);
}

#[test]
fn refuse_closes_and_refuses_until_it_passes_again() {
    let proxy = Proxy::start(&echo(b"a")).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, b"x", 2), b"ax");
    proxy.set_mode(Mode::Refuse);
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    let refused = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.set_mode(Mode::Pass);
    assert_eq!(ask(&mut connect(&proxy), b"y", 2), b"ay");
}

#[test]
fn silent_holds_old_and_new_connections_and_loses_nothing() {
    let proxy = Proxy::start(&echo(b"a")).unwrap();
    let mut old = connect(&proxy);
    assert_eq!(ask(&mut old, b"x", 2), b"ax");
    proxy.set_mode(Mode::Silent);
    let mut new = connect(&proxy);
    old.write_all(b"1").unwrap();
    new.write_all(b"2").unwrap();
    assert!(is_silent(&mut old));
    assert!(is_silent(&mut new));
    proxy.set_mode(Mode::Pass);
    assert_eq!(ask(&mut old, b"", 2), b"a1");
    assert_eq!(ask(&mut new, b"", 2), b"a2");
}

#[test]
fn delay_delays_each_way_without_narrowing() {
    let proxy = Proxy::start(&echo(b"a")).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, b"x", 2), b"ax");
    proxy.set_mode(Mode::Delay(Duration::from_millis(100)));
    let begun = Instant::now();
    assert_eq!(ask(&mut stream, b"x", 2), b"ax");
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());

    // What is sent meanwhile does not wait for what was sent before.
    let begun = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let thread = thread::spawn(move || {
        for _ in 0..20 {
            writer.write_all(b"y").unwrap();
            thread::sleep(Duration::from_millis(10));
        }
    });
    let mut answers = 0;
    let mut buffer = [0; 64];
    while answers < 20 {
        let count = stream.read(&mut buffer).unwrap();
        answers += buffer[..count].iter().filter(|byte| **byte == b'y').count();
    }
    thread.join().unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

#[test]
fn upstream_changes_for_new_connections() {
    let proxy = Proxy::start(&echo(b"a")).unwrap();
    let mut old = connect(&proxy);
    assert_eq!(ask(&mut old, b"x", 2), b"ax");
    proxy.set_upstream(&echo(b"b"));
    assert_eq!(ask(&mut connect(&proxy), b"x", 2), b"bx");
    assert_eq!(ask(&mut old, b"x", 2), b"ax");
    proxy.sever();
    assert_eq!(old.read(&mut [0; 16]).unwrap_or(0), 0);
    assert_eq!(ask(&mut connect(&proxy), b"x", 2), b"bx");
}
