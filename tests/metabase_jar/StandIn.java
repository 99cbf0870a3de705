import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.sql.Connection;
import java.sql.DriverManager;

/** Starts as Metabase does: takes its environment, opens its database, then answers on its port. */
public class StandIn implements HttpHandler {
    public static void main(String[] args) throws Exception {
        if (setting("MB_ENCRYPTION_SECRET_KEY").length() < 16) {
            throw new IllegalStateException("MB_ENCRYPTION_SECRET_KEY must be at least 16 characters.");
        }
        // Fails as Metabase fails where its memory may not be opened.
        Object opened = Class.forName("java.nio.Bits").getDeclaredMethod("pageSize", new Class[0]);
        ((java.lang.reflect.Method) opened).setAccessible(true);
        Connection database = DriverManager.getConnection(
            setting("MB_DB_CONNECTION_URI"), setting("MB_DB_USER"), setting("MB_DB_PASS"));
        database.createStatement().execute("CREATE TABLE IF NOT EXISTS started (at timestamptz DEFAULT now())");
        database.createStatement().execute("INSERT INTO started DEFAULT VALUES");
        InetSocketAddress address = new InetSocketAddress(setting("MB_JETTY_HOST"), Integer.parseInt(setting("MB_JETTY_PORT")));
        HttpServer server = HttpServer.create(address, 0);
        server.createContext("/api/health", new StandIn());
        server.start();
    }

    private static String setting(String name) {
        String value = System.getenv(name);
        if (value == null) {
            throw new IllegalStateException(name + " is not set.");
        }
        return value;
    }

    public void handle(HttpExchange exchange) throws IOException {
        byte[] answer = "{\"status\":\"ok\"}".getBytes();
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(200, answer.length);
        exchange.getResponseBody().write(answer);
        exchange.close();
    }
}
