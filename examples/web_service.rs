//! A web service that answers at once and works later: `POST /jobs` is answered with 202 as soon as the job is in the queue,
//! and with 503 if that would take too long; an async worker does the slow work, with retries; `GET /stats` shows figures.
//!
//! The example is its own client, over TCP on loopback. Then it shuts down without losing what it has accepted.
//!
//! `cargo run --release --example web_service`

use redeliver::{Delivery, Exponential, HandlerFuture, Jitter, Producer, Queue};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(30);

/// How often each job was done.
type Done = Arc<Mutex<BTreeMap<String, u32>>>;
type Failure = Box<dyn Error + Send + Sync>;

// ---- the service ----

/// The slow work, which fails at times: an error, or a panic, brings the job back as the queue's policy says.
fn work(job: &Delivery<String>, done: Done) -> HandlerFuture<'_, Result<(), &'static str>> {
    Box::pin(async move {
        sleep(5 * MS).await;
        if job.ends_with('7') && job.attempt() == 1 {
            return Err("the database is busy");
        }
        *done.lock().unwrap_or_else(PoisonError::into_inner).entry(job.message().clone()).or_default() += 1;
        Ok(())
    })
}

/// Accepts connections until it is aborted. Each holds an `open` as long as it lives.
async fn listen(listener: TcpListener, queue: Queue<String>, open: mpsc::Sender<()>) {
    let producer = queue.producer();
    while let Ok((stream, _)) = listener.accept().await {
        let (queue, producer, open) = (queue.clone(), producer.clone(), open.clone());
        tokio::spawn(async move {
            let _ = answer(stream, &queue, &producer).await; // a client that has gone has nobody to be told
            drop(open);
        });
    }
}

async fn answer(mut stream: TcpStream, queue: &Queue<String>, producer: &Producer<String>) -> Result<(), Failure> {
    let (route, body) = timeout(LONG, read_request(&mut stream)).await??;
    let (status, text) = match route.as_str() {
        // A future that is dropped before it is ready has sent nothing: who gets a 503 may safely ask again.
        "POST /jobs" => match timeout(10 * MS, producer.send_async(body)).await {
            Ok(Ok(id)) => ("202 Accepted", id.to_string()),
            Ok(Err(_closed)) => ("503 Service Unavailable", "shutting down".into()),
            Err(_elapsed) => ("503 Service Unavailable", "busy".into()),
        },
        "GET /stats" => {
            let s = queue.stats();
            let waiting = s.ready + s.in_flight + s.delayed;
            ("200 OK", format!("accepted {} done {} retries {} waiting {waiting}", s.sent, s.acked, s.retries))
        }
        _ => ("404 Not Found", String::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    Ok(stream.write_all((head + &text).as_bytes()).await?)
}

/// As much of HTTP as this needs: one request a connection, with a Content-Length or without a body.
async fn read_request(stream: &mut TcpStream) -> Result<(String, String), Failure> {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await? > 0 && bytes.len() < 64 * 1024 {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head) = request.parse(&bytes)? else { continue };
        let route = format!("{} {}", request.method.unwrap_or_default(), request.path.unwrap_or_default());
        let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.map_or(Ok(0), |header| String::from_utf8_lossy(header.value).parse())?;
        if bytes.len() - head >= length {
            return Ok((route, String::from_utf8_lossy(&bytes[head..head + length]).into_owned()));
        }
    }
    Err("the request broke off, or is too long".into())
}

// ---- the client ----

async fn ask(server: SocketAddr, route: &str, body: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(server).await?;
    let head = format!("{route} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Posts its jobs one after the other, each until it is accepted. Returns those, and how often it was sent away.
async fn client(server: SocketAddr, number: u32) -> Result<(Vec<String>, u32), Failure> {
    let (mut accepted, mut refusals) = (Vec::new(), 0);
    while accepted.len() < 15 {
        let job = format!("job {number}-{}", accepted.len());
        match ask(server, "POST /jobs", &job).await?.split(' ').nth(1) {
            Some("202") => accepted.push(job),
            Some("503") => {
                refusals += 1;
                sleep(20 * MS).await;
            }
            status => return Err(format!("neither 202 nor 503, but {status:?}").into()),
        }
    }
    Ok((accepted, refusals))
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let retry = Exponential::new(5 * MS).jitter(Jitter::Equal).max_attempts(8);
    let queue = Queue::builder("jobs").capacity(16).retry(retry).open()?;
    let done = Done::default();
    let (executor, of_worker) = (runtime.handle().clone(), done.clone());
    let worker = queue
        .worker()
        .threads(4) // tasks, here
        .start_async(move |task| drop(executor.spawn(task)), move |job| work(job, of_worker.clone()))?;

    let (accepted, refusals) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = listener.local_addr()?;
        let (open, mut all_closed) = mpsc::channel(1);
        let service = tokio::spawn(listen(listener, queue.clone(), open));

        let clients: Vec<_> = (0..30).map(|number| tokio::spawn(client(server, number))).collect();
        let (mut accepted, mut refusals) = (Vec::new(), 0);
        for client in clients {
            let (jobs, sent_away) = client.await??;
            accepted.extend(jobs);
            refusals += sent_away;
        }
        println!("{}", ask(server, "GET /stats", "").await?.lines().last().unwrap_or_default());

        service.abort(); // takes no more connections, …
        let _ = all_closed.recv().await; // … and waits for those that are open
        Ok::<_, Failure>((accepted, refusals))
    })?;
    queue.close(); // takes no more jobs, …
    let report = worker.join(); // … and does those that it has

    let done = done.lock().unwrap_or_else(PoisonError::into_inner);
    let lost = accepted.iter().filter(|job| !done.contains_key(*job)).count();
    let again = done.values().filter(|times| **times > 1).count();
    println!("{} jobs accepted after {refusals} times 503, {} retries", accepted.len(), report.failed);
    println!("{lost} lost, {again} done more than once");
    assert_eq!((lost, done.len(), queue.dead_letters().len()), (0, accepted.len(), 0));
    Ok(())
}
