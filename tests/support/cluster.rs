//! A cluster of three Kafka nodes, each of them broker and controller, with a copy of every partition on each: one may be
//! away and nothing stands still.

use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use super::kafka::{Layout, RealKafka, base, cluster_id, java_command, pairs, run};
use super::skip::real_part;
use super::{ports, topics, wait};

const NODES: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);

/// Three nodes. Dropping it kills them and removes their data.
pub struct Cluster {
    nodes: Vec<RealKafka>,
}

impl Cluster {
    /// Starts them and waits until all serve; `None`, and a skip, where Kafka has not been fetched.
    pub fn start() -> Option<Cluster> {
        let libs = real_part("kafka")?.join("libs");
        let mut last = String::new();
        for _ in 0..3 {
            let mut cluster = Cluster::formatted(&libs);
            match cluster.start_all() {
                Ok(()) => return Some(cluster),
                Err(log) => last = log,
            }
        }
        panic!("a cluster did not come up three times; the end of a log:\n{last}");
    }

    fn formatted(libs: &Path) -> Cluster {
        let id = cluster_id();
        let controllers: Vec<u16> = (0..NODES).map(|_| ports::free()).collect();
        let voters: Vec<String> = controllers
            .iter()
            .enumerate()
            .map(|(index, port)| format!("{}@127.0.0.1:{port}", index + 1))
            .collect();
        let node = |(index, controller): (usize, &u16)| {
            let folder = TempDir::with_prefix("driftgate-kafka-").expect("a temporary folder");
            let port = ports::free();
            let mut lines = base(folder.path(), *controller);
            lines.extend(pairs(&[
                ("node.id", &(index + 1).to_string()),
                ("controller.quorum.voters", &voters.join(",")),
                (
                    "listeners",
                    &format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
                ),
                (
                    "advertised.listeners",
                    &format!("PLAINTEXT://127.0.0.1:{port}"),
                ),
                ("default.replication.factor", "3"),
                ("min.insync.replicas", "2"),
                ("offsets.topic.replication.factor", "3"),
                ("transaction.state.log.replication.factor", "3"),
                ("transaction.state.log.min.isr", "2"),
                // A follower that is gone is left out soon, and one that is back may lead again at once.
                ("replica.lag.time.max.ms", "5000"),
                ("broker.session.timeout.ms", "4000"),
                ("auto.leader.rebalance.enable", "false"),
            ]));
            let layout = Layout {
                lines,
                users: Vec::new(),
            };
            RealKafka::formatted(libs, folder, port, &layout, &id)
        };
        let nodes = controllers.iter().enumerate().map(node).collect();
        Cluster { nodes }
    }

    /// Bootstrap servers: all of them.
    pub fn bootstrap(&self) -> String {
        let all: Vec<_> = self.nodes.iter().map(RealKafka::bootstrap).collect();
        all.join(",")
    }

    /// A client configuration for it.
    pub fn client(&self) -> ClientConfig {
        topics::client(&self.bootstrap())
    }

    /// A node, counted from 1 as Kafka's ids are.
    pub fn node(&mut self, id: i32) -> &mut RealKafka {
        &mut self.nodes[usize::try_from(id - 1).expect("an id")]
    }

    /// SIGKILL for every node.
    pub fn kill_all(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// Starts every node and waits until all serve: one alone would wait for the others.
    pub fn start_all(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            node.launch();
        }
        self.nodes.iter_mut().try_for_each(RealKafka::serves)
    }

    /// The id of the node that leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> i32 {
        let client: BaseConsumer = self.client().create().expect("a valid configuration");
        wait::eventually(LIMIT, "the partition has a leader", || {
            let metadata = client
                .fetch_metadata(Some(topic), Duration::from_secs(5))
                .ok()?;
            let partitions = metadata.topics().first()?.partitions();
            let found = partitions.iter().find(|found| found.id() == partition)?;
            (found.leader() > 0).then(|| found.leader())
        })
    }

    /// Waits until every copy of every partition of a topic is in step.
    pub fn in_step(&self, topic: &str) {
        let client: BaseConsumer = self.client().create().expect("a valid configuration");
        wait::eventually(LIMIT, &format!("all copies of {topic} are in step"), || {
            let metadata = client
                .fetch_metadata(Some(topic), Duration::from_secs(5))
                .ok()?;
            let partitions = metadata.topics().first()?.partitions();
            let whole = |found: &rdkafka::metadata::MetadataPartition| found.isr().len() == NODES;
            partitions.iter().all(whole).then_some(())
        });
    }

    /// Makes another node lead each partition of a topic, with Kafka's own command, while all of them run.
    pub fn move_leaders(&self, topic: &str) {
        let client: BaseConsumer = self.client().create().expect("a valid configuration");
        let metadata = client
            .fetch_metadata(Some(topic), LIMIT)
            .expect("the cluster answers");
        let partitions: Vec<serde_json::Value> = metadata.topics()[0]
            .partitions()
            .iter()
            .map(|partition| {
                let mut replicas: Vec<i32> = partition.replicas().to_vec();
                replicas.retain(|id| *id != partition.leader());
                replicas.push(partition.leader());
                serde_json::json!({ "topic": topic, "partition": partition.id(), "replicas": replicas })
            })
            .collect();
        let plan = serde_json::json!({ "version": 1, "partitions": partitions });
        let file = self.nodes[0].folder().join("leaders.json");
        std::fs::write(&file, plan.to_string()).expect("the broker's folder can be written");
        self.command(
            "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
            &[
                "--execute",
                "--reassignment-json-file",
                &file.display().to_string(),
            ],
        );
        self.command(
            "org.apache.kafka.tools.LeaderElectionCommand",
            &["--election-type", "preferred", "--all-topic-partitions"],
        );
    }

    fn command(&self, class: &str, arguments: &[&str]) {
        let mut command = java_command(self.nodes[0].libs());
        command
            .arg(class)
            .args(["--bootstrap-server", &self.bootstrap()])
            .args(arguments);
        run(command, class);
    }
}
