// A server of many threads, for test_graft: each connection has a thread, each line is answered by a thread of a
// pool. A line is sent back as it is; "run" starts a program, and says its exit status or why it could not be.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

public final class Echo {
    private static final ExecutorService pool = Executors.newFixedThreadPool(8);

    private static String run() throws InterruptedException {
        try {
            return "exit " + new ProcessBuilder("true").start().waitFor();
        } catch (IOException refused) {
            return "refused";
        }
    }

    private static void serve(Socket connection) {
        try (connection) {
            var lines = new BufferedReader(new InputStreamReader(connection.getInputStream()));
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                final String asked = line;
                String answer = asked.equals("run") ? run() : pool.submit(() -> asked).get();
                connection.getOutputStream().write((answer + "\n").getBytes());
            }
        } catch (Exception failed) {
            failed.printStackTrace();
        }
    }

    public static void main(String[] words) throws IOException {
        try (var server = new ServerSocket(Integer.parseInt(words[0]), 50, InetAddress.getLoopbackAddress())) {
            System.out.println("ready");
            while (true) {
                Socket connection = server.accept();
                new Thread(() -> serve(connection)).start();
            }
        }
    }
}
