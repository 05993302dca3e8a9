import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.SystemLimitException;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.Decoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.io.ResolvingDecoder;
import org.apache.avro.util.Utf8;

/**
 * Java's Avro as an oracle over stdin and stdout. Numbers are big endian; a text or datum is its length and its bytes.
 *
 * <pre>
 * request  u32 pairs, and for each: writer schema, reader schema, u32 data, each datum
 * answer   for each datum: u8 verdict, u32 bytes consumed, resolved bytes or the error's text
 * </pre>
 *
 * What it reads it writes again with the reader schema, so that two readings are equal when their bytes are. It ends
 * with its input.
 */
public final class Oracle {
  static final int OK = 0, SCHEMA = 1, RESOLVE = 2, DATA = 3, LIMIT = 4, STACK = 5, MEMORY = 6, UNEXPECTED = 7, WRITE = 8;

  /** Items of one collection; the oracle's own bound for collections that are skipped, where Java has none. */
  static final int ITEMS = Integer.getInteger("org.apache.avro.limits.collectionItems.maxLength");

  /** Maps keep the order in which they were written, so that bytes can be compared. */
  static final GenericData DATA_MODEL = new GenericData() {
    @Override
    public Object newMap(Object old, int size) {
      return new LinkedHashMap<Object, Object>();
    }
  };

  static {
    // The reader of all versions, which resolves with a grammar; the fast one is a second implementation of it.
    DATA_MODEL.setFastReaderEnabled(false);
  }

  public static void main(String[] arguments) throws Exception {
    // A stack of one's own: a hostile schema or datum may recurse, and that must be an answer, not an end.
    Throwable[] failure = new Throwable[1];
    Thread thread = new Thread(null, () -> {
      try {
        serve();
      } catch (Throwable e) {
        failure[0] = e;
      }
    }, "oracle", 16 << 20);
    thread.start();
    thread.join();
    if (failure[0] != null) {
      failure[0].printStackTrace();
      System.exit(1);
    }
  }

  static void serve() throws IOException {
    DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
    DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
    while (true) {
      int pairs;
      try {
        pairs = in.readInt();
      } catch (EOFException e) {
        return;
      }
      // All of a request is read before the first byte of its answer, so that neither side waits for the other.
      String[][] schemas = new String[pairs][];
      byte[][][] data = new byte[pairs][][];
      for (int i = 0; i < pairs; i++) {
        schemas[i] = new String[] {text(in), text(in)};
        data[i] = new byte[in.readInt()][];
        for (int j = 0; j < data[i].length; j++) {
          data[i][j] = sized(in);
        }
      }
      for (int i = 0; i < pairs; i++) {
        pair(schemas[i][0], schemas[i][1], data[i], out);
      }
      out.flush();
    }
  }

  static byte[] sized(DataInputStream in) throws IOException {
    byte[] bytes = new byte[in.readInt()];
    in.readFully(bytes);
    return bytes;
  }

  static String text(DataInputStream in) throws IOException {
    return new String(sized(in), StandardCharsets.UTF_8);
  }

  static void pair(String writerText, String readerText, byte[][] data, DataOutputStream out) throws IOException {
    Schema writer;
    Schema reader;
    try {
      writer = new Schema.Parser().parse(writerText);
      reader = writerText.equals(readerText) ? writer : new Schema.Parser().parse(readerText);
    } catch (Throwable e) {
      all(data, SCHEMA, e, out);
      return;
    }
    Reader resolving;
    try {
      resolving = new Reader(writer, reader);
      resolving.prepare();
    } catch (Throwable e) {
      all(data, e instanceof StackOverflowError ? STACK : RESOLVE, e, out);
      return;
    }
    GenericDatumWriter<Object> again = new GenericDatumWriter<>(reader, DATA_MODEL);
    for (byte[] datum : data) {
      one(datum, resolving, again, out);
    }
  }

  static void all(byte[][] data, int verdict, Throwable e, DataOutputStream out) throws IOException {
    for (int i = 0; i < data.length; i++) {
      answer(verdict, 0, message(e), out);
    }
  }

  static void one(byte[] datum, Reader resolving, GenericDatumWriter<Object> again, DataOutputStream out)
      throws IOException {
    BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(datum, null);
    Object value;
    int consumed;
    try {
      value = resolving.read(null, new Guarded(decoder));
      consumed = datum.length - decoder.inputStream().available();
    } catch (SystemLimitException | UnsupportedOperationException e) {
      answer(LIMIT, 0, message(e), out);
      return;
    } catch (IOException | AvroRuntimeException e) {
      answer(DATA, 0, message(e), out);
      return;
    } catch (StackOverflowError e) {
      answer(STACK, 0, message(e), out);
      return;
    } catch (OutOfMemoryError e) {
      answer(MEMORY, 0, message(e), out);
      return;
    } catch (RuntimeException e) {
      // An index out of bounds, a cast: a refusal, though not a considered one.
      answer(UNEXPECTED, 0, message(e), out);
      return;
    }
    try {
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(bytes, null);
      again.write(value, encoder);
      encoder.flush();
      answer(OK, consumed, bytes.toByteArray(), out);
    } catch (RuntimeException | StackOverflowError e) {
      answer(WRITE, consumed, message(e), out);
    }
  }

  static byte[] message(Throwable e) {
    String text = e.getClass().getSimpleName() + ": " + e.getMessage();
    return text.substring(0, Math.min(300, text.length())).getBytes(StandardCharsets.UTF_8);
  }

  static void answer(int verdict, int consumed, byte[] bytes, DataOutputStream out) throws IOException {
    out.writeByte(verdict);
    out.writeInt(consumed);
    out.writeInt(bytes.length);
    out.write(bytes);
  }

  static final class Reader extends GenericDatumReader<Object> {
    Reader(Schema writer, Schema reader) {
      super(writer, reader, DATA_MODEL);
    }

    /** Compiles the pair now, so that its failure is told from a datum's. */
    ResolvingDecoder prepare() throws IOException {
      return getResolver(getSchema(), getExpected());
    }
  }

  /** The binary decoder, with a bound on collections that are skipped. */
  static final class Guarded extends Decoder {
    private final BinaryDecoder in;

    Guarded(BinaryDecoder in) {
      this.in = in;
    }

    private static long bounded(long count) {
      if (count > ITEMS) {
        throw new SystemLimitException("skipping " + count + " items");
      }
      return count;
    }

    @Override
    public long skipArray() throws IOException {
      return bounded(in.skipArray());
    }

    @Override
    public long skipMap() throws IOException {
      return bounded(in.skipMap());
    }

    @Override
    public void readNull() throws IOException {
      in.readNull();
    }

    @Override
    public boolean readBoolean() throws IOException {
      return in.readBoolean();
    }

    @Override
    public int readInt() throws IOException {
      return in.readInt();
    }

    @Override
    public long readLong() throws IOException {
      return in.readLong();
    }

    @Override
    public float readFloat() throws IOException {
      return in.readFloat();
    }

    @Override
    public double readDouble() throws IOException {
      return in.readDouble();
    }

    @Override
    public Utf8 readString(Utf8 old) throws IOException {
      return in.readString(old);
    }

    @Override
    public String readString() throws IOException {
      return in.readString();
    }

    @Override
    public void skipString() throws IOException {
      in.skipString();
    }

    @Override
    public ByteBuffer readBytes(ByteBuffer old) throws IOException {
      return in.readBytes(old);
    }

    @Override
    public void skipBytes() throws IOException {
      in.skipBytes();
    }

    @Override
    public void readFixed(byte[] bytes, int start, int length) throws IOException {
      in.readFixed(bytes, start, length);
    }

    @Override
    public void skipFixed(int length) throws IOException {
      in.skipFixed(length);
    }

    @Override
    public int readEnum() throws IOException {
      return in.readEnum();
    }

    @Override
    public long readArrayStart() throws IOException {
      return in.readArrayStart();
    }

    @Override
    public long arrayNext() throws IOException {
      return in.arrayNext();
    }

    @Override
    public long readMapStart() throws IOException {
      return in.readMapStart();
    }

    @Override
    public long mapNext() throws IOException {
      return in.mapNext();
    }

    @Override
    public int readIndex() throws IOException {
      return in.readIndex();
    }
  }
}
