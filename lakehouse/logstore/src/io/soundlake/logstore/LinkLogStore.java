package io.soundlake.logstore;

import io.delta.storage.HadoopFileSystemLogStore;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Iterator;
import java.util.UUID;
import org.apache.hadoop.conf.Configuration;

/**
 * Delta's log in a local folder for any number of processes: a commit is a complete file that gets its name by a hard
 * link, which the kernel refuses when the name is taken.
 *
 * <p>Delta's own local store looks whether the name is free and then renames, which excludes threads of one JVM only.
 * delta-rs publishes by a hard link as well, so both exclude each other.
 */
public final class LinkLogStore extends HadoopFileSystemLogStore {
  public LinkLogStore(Configuration initial) {
    super(initial);
  }

  @Override
  public void write(
      org.apache.hadoop.fs.Path path, Iterator<String> actions, Boolean overwrite, Configuration conf)
      throws IOException {
    Path target = Paths.get(path.toUri().getPath());
    Path folder = target.getParent();
    if (!Files.isDirectory(folder)) {
      throw new FileNotFoundException("No such file or directory: " + folder);
    }
    Path temporary = folder.resolve("." + target.getFileName() + "." + UUID.randomUUID() + ".tmp");
    try {
      writeDurably(temporary, Lines.join(actions));
      if (overwrite) {
        // Hadoop keeps a checksum beside files that it wrote; the old one would make the new content unreadable.
        Files.deleteIfExists(folder.resolve("." + target.getFileName() + ".crc"));
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      } else {
        link(target, temporary);
      }
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  private static void writeDurably(Path file, byte[] content) throws IOException {
    try (FileChannel channel =
        FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
      ByteBuffer buffer = ByteBuffer.wrap(content);
      while (buffer.hasRemaining()) {
        channel.write(buffer);
      }
      channel.force(true); // or a power cut could leave an empty commit under its final name
    }
  }

  private static void link(Path target, Path temporary) throws IOException {
    try {
      Files.createLink(target, temporary);
    } catch (FileAlreadyExistsException taken) {
      throw taken;
    } catch (UnsupportedOperationException | FileSystemException refused) {
      throw new IOException(
          "commit " + target + ": no hard link could be made (" + refused.getMessage() + "). Two writers can only be"
              + " kept apart on a file system that has hard links: move the lake there. If it never has more than one"
              + " writer, set spark.delta.logStore.file.impl=io.delta.storage.LocalLogStore",
          refused);
    }
  }

  /** Delta writes checkpoints without this class: it has to write them beside and rename. */
  @Override
  public Boolean isPartialWriteVisible(org.apache.hadoop.fs.Path path, Configuration conf) {
    return true;
  }
}
