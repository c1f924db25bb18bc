/* Kafka Streams, as its documentation has it: exactly once, counts in RocksDB.
 *
 * The same small job as in job.py: River's scaler and logistic regression are written out here,
 * to the same result. `java Peer -` does the job for lines of stdin and prints the scores, so that
 * this can be seen.
 */

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.net.Socket;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.function.Function;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public final class Peer {
    static final double HALF_LIFE = 3_600_000.0; // ms
    static final int FLUSH_EVERY = 500;
    static final String STORE = "counts";

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 0) {
            check();
        } else {
            run();
        }
    }

    /** River's StandardScaler and LogisticRegression with their defaults. */
    static final class Model {
        private final double[] means = new double[4];
        private final double[] variances = new double[4];
        private final double[] weights = new double[4];
        private double intercept;
        private long seen;

        double predict(double[] x) {
            return sigmoid(logit(scaled(x)));
        }

        void learn(double[] x, boolean happened) {
            seen++;
            for (int i = 0; i < x.length; i++) {
                double before = means[i];
                means[i] += (x[i] - before) / seen;
                variances[i] += ((x[i] - before) * (x[i] - means[i]) - variances[i]) / seen;
            }
            double[] scaled = scaled(x);
            double gradient = sigmoid(logit(scaled)) - (happened ? 1.0 : 0.0);
            intercept -= 0.01 * gradient;
            for (int i = 0; i < x.length; i++) {
                weights[i] -= 0.01 * gradient * scaled[i];
            }
        }

        private double[] scaled(double[] x) {
            double[] scaled = new double[x.length];
            for (int i = 0; i < x.length; i++) {
                scaled[i] = variances[i] > 0 ? (x[i] - means[i]) / Math.sqrt(variances[i]) : 0.0;
            }
            return scaled;
        }

        private double logit(double[] x) {
            double sum = intercept;
            for (int i = 0; i < x.length; i++) {
                sum += weights[i] * x[i];
            }
            return sum;
        }

        private static double sigmoid(double logit) {
            return 1.0 / (1.0 + Math.exp(-logit));
        }
    }

    /** Where the counts of a product lie: its time, views, carts and units, faded. */
    interface Counts {
        byte[] get(String product);

        void put(String product, byte[] counts);
    }

    record Score(String product, double score) {}

    /** Everything between an event's bytes and its product's score. */
    static final class Job {
        private final ObjectMapper json = new ObjectMapper();
        private final Model model = new Model();

        Score take(byte[] raw, Counts counts) throws IOException {
            JsonNode event = json.readTree(raw);
            String kind = event.get("type").asText();
            JsonNode items = event.get("items");
            JsonNode what = items == null ? event : items.get(0);
            String product = what.get("product_id").asText();
            byte[] stored = counts.get(product);
            double[] row = new double[4];
            if (stored != null) {
                ByteBuffer.wrap(stored).asDoubleBuffer().get(row);
            }
            double time = event.get("time").asDouble();
            double keep = Math.pow(0.5, Math.max(0.0, time - row[0]) / HALF_LIFE);
            row[0] = Math.max(time, row[0]);
            for (int i = 1; i < 4; i++) {
                row[i] *= keep;
            }
            double price = what.path("price").asDouble(0.0);
            double[] x = {row[1], row[2], row[3], price};
            double score = model.predict(x);
            model.learn(x, kind.equals("add_to_cart") || kind.equals("purchase"));
            if (items != null) {
                row[3] += what.get("quantity").asDouble();
            } else if (kind.equals("add_to_cart")) {
                row[2] += 1.0;
            } else {
                row[1] += 1.0;
            }
            ByteBuffer bytes = ByteBuffer.allocate(32);
            bytes.asDoubleBuffer().put(row);
            counts.put(product, bytes.array());
            return new Score(product, score);
        }
    }

    /** Scores on their way to Redis, many at a time; its protocol is a few lines. */
    static final class Scores {
        private final Map<String, Double> pending = new HashMap<>();
        private final OutputStream to;
        private final InputStream from;
        private int events;

        Scores(String address) throws IOException {
            URI uri = URI.create(address);
            Socket socket = new Socket(uri.getHost(), uri.getPort());
            socket.setTcpNoDelay(true);
            to = socket.getOutputStream();
            from = new BufferedInputStream(socket.getInputStream());
        }

        void put(Score score) throws IOException {
            pending.put(score.product(), score.score());
            if (++events >= FLUSH_EVERY) {
                flush();
            }
        }

        void flush() throws IOException {
            ByteArrayOutputStream commands = new ByteArrayOutputStream();
            for (Map.Entry<String, Double> entry : pending.entrySet()) {
                commands.writeBytes("*3\r\n$3\r\nSET\r\n".getBytes(StandardCharsets.US_ASCII));
                word(commands, "peer:" + entry.getKey());
                word(commands, Double.toString(entry.getValue()));
            }
            commands.writeTo(to);
            to.flush();
            for (int answers = pending.size(); answers > 0; ) {
                int next = from.read();
                if (next < 0) {
                    throw new IOException("Redis has gone");
                }
                answers -= next == '\n' ? 1 : 0; // each is +OK
            }
            pending.clear();
            events = 0;
        }

        private static void word(ByteArrayOutputStream commands, String text) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            commands.writeBytes(("$" + bytes.length + "\r\n").getBytes(StandardCharsets.US_ASCII));
            commands.writeBytes(bytes);
            commands.writeBytes("\r\n".getBytes(StandardCharsets.US_ASCII));
        }
    }

    /** Counts events; starts with the first, and ends the process with the last. */
    static final class Stopwatch {
        private final long events;
        private final OperatingSystemMXBean system =
                (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        private long seen;
        private long began;
        private long cpu;

        Stopwatch(long events) {
            this.events = events;
        }

        void begin() {
            if (seen == 0) {
                began = System.nanoTime();
                cpu = system.getProcessCpuTime();
            }
        }

        boolean count() {
            return ++seen >= events;
        }

        void answer() throws IOException {
            double seconds = (System.nanoTime() - began) / 1e9;
            double spent = (system.getProcessCpuTime() - cpu) / 1e9;
            System.out.printf(
                    Locale.ROOT,
                    "{\"events\": %d, \"seconds\": %f, \"cpu\": %f, \"peak_mib\": %f}%n",
                    seen, seconds, spent, peakMib());
            System.out.flush();
            Runtime.getRuntime().halt(0); // an orderly end is not measured
        }

        private static double peakMib() throws IOException {
            Path status = Path.of("/proc/self/status");
            if (!Files.exists(status)) {
                return 0.0;
            }
            for (String line : Files.readAllLines(status)) {
                if (line.startsWith("VmHWM:")) {
                    return Double.parseDouble(line.replaceAll("\\D", "")) / 1024;
                }
            }
            return 0.0;
        }
    }

    /** The job as a processor; one thread runs all tasks, so they share the model. */
    static final class Step extends ContextualProcessor<byte[], byte[], Void, Void> {
        private final Job job;
        private final Scores scores;
        private final Stopwatch watch;
        private KeyValueStore<String, byte[]> store;
        private Counts counts;

        Step(Job job, Scores scores, Stopwatch watch) {
            this.job = job;
            this.scores = scores;
            this.watch = watch;
        }

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            super.init(context);
            store = context.getStateStore(STORE);
            counts = new Counts() {
                @Override
                public byte[] get(String product) {
                    return store.get(product);
                }

                @Override
                public void put(String product, byte[] row) {
                    store.put(product, row);
                }
            };
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            watch.begin();
            try {
                scores.put(job.take(record.value(), counts));
                if (watch.count()) {
                    scores.flush();
                    watch.answer();
                }
            } catch (IOException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    private static void run() throws Exception {
        Function<String, String> asked = name -> System.getenv("PEER_" + name);
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, asked.apply("GROUP"));
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, asked.apply("KAFKA"));
        properties.put(
                StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(
                StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("peer").toString());
        properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        Job job = new Job();
        Scores scores = new Scores(asked.apply("REDIS"));
        Stopwatch watch = new Stopwatch(Long.parseLong(asked.apply("EVENTS")));
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(
                Stores.keyValueStoreBuilder(
                        Stores.persistentKeyValueStore(STORE),
                        Serdes.String(),
                        Serdes.ByteArray()));
        List<String> topics = Arrays.asList("clicks", "orders");
        builder.stream(topics, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .process(() -> new Step(job, scores, watch), STORE);
        new KafkaStreams(builder.build(), properties).start();
    }

    private static void check() throws IOException {
        Map<String, byte[]> rows = new HashMap<>();
        Counts counts = new Counts() {
            @Override
            public byte[] get(String product) {
                return rows.get(product);
            }

            @Override
            public void put(String product, byte[] row) {
                rows.put(product, row);
            }
        };
        Job job = new Job();
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Score score = job.take(line.getBytes(StandardCharsets.UTF_8), counts);
            System.out.println(score.product() + " " + score.score());
        }
    }
}
