package io.soundlake.logstore;

import io.delta.storage.HadoopFileSystemLogStore;
import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Iterator;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSDataOutputStreamBuilder;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/**
 * Delta's log on S3 for any number of drivers: a commit is one PUT with "If-None-Match: *".
 *
 * <p>The store itself decides who was first: the second writer of a version gets HTTP 412, which reaches Delta as
 * FileAlreadyExistsException, and Delta tries the next version. Nothing is cached or locked in this process, so a
 * driver on another machine (or delta-rs, which sends the same header) is excluded like a thread of this one.
 *
 * <p>A PUT whose answer is lost may have been applied, and is repeated by the client below: the repetition meets its own
 * commit. So after every failed write the object is read: if it holds these very bytes, the commit is ours. Delta writes
 * a random transaction id into every commit, so that two writers never offer the same bytes.
 */
public final class ConditionalLogStore extends HadoopFileSystemLogStore {
  /** Hadoop 3.4.2 and later; an older one refuses the option instead of overwriting. */
  static final String ONLY_IF_ABSENT = "fs.option.create.conditional.overwrite";

  public ConditionalLogStore(Configuration initial) {
    super(initial);
  }

  @Override
  public void write(Path path, Iterator<String> actions, Boolean overwrite, Configuration conf) throws IOException {
    FileSystem store = path.getFileSystem(conf);
    byte[] content = Lines.join(actions);
    if (overwrite) {
      try (FSDataOutputStream out = store.create(path, true)) {
        out.write(content);
      }
      return;
    }
    try {
      putIfAbsent(store, path, content);
    } catch (IOException failure) {
      byte[] found = readOrNull(store, path, failure);
      if (found == null) {
        throw failure; // nobody committed this version: an outage, not a race
      }
      if (!Arrays.equals(found, content)) {
        throw (IOException) new FileAlreadyExistsException(path.toString()).initCause(failure);
      }
    }
  }

  private static void putIfAbsent(FileSystem store, Path path, byte[] content) throws IOException {
    // The bytes leave at close(), as one PUT; an exception before it must not publish half of them.
    FSDataOutputStreamBuilder<?, ?> builder = store.createFile(path);
    // "overwrite" leaves out the client's own look whether the object is there: the condition of the PUT decides.
    FSDataOutputStream out = builder.create().overwrite(true).must(ONLY_IF_ABSENT, true).build();
    try {
      out.write(content);
    } catch (IOException | RuntimeException failure) {
      out.abort();
      throw failure;
    }
    out.close();
  }

  private static byte[] readOrNull(FileSystem store, Path path, IOException cause) throws IOException {
    try (InputStream in = store.open(path)) {
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      in.transferTo(bytes);
      return bytes.toByteArray();
    } catch (FileNotFoundException absent) {
      return null;
    } catch (IOException unreadable) {
      cause.addSuppressed(unreadable); // whether the commit is there can't be told: report the write's own failure
      throw cause;
    }
  }

  /** A PUT is visible as a whole or not at all. */
  @Override
  public Boolean isPartialWriteVisible(Path path, Configuration conf) {
    return false;
  }
}
