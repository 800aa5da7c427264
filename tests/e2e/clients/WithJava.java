// Java's own java.net.http.HttpClient (HTTP/2 where the server offers it). Its TLS is written in Java, so
// there is no library to probe. Arguments: port, CA, key, "wait" or "go", then an id and a file with
// the body for each request.

import java.io.FileInputStream;
import java.math.BigInteger;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class WithJava {
	static HttpClient client(String ca) throws Exception {
		KeyStore store = KeyStore.getInstance("PKCS12");
		store.load(null, null);
		try (FileInputStream pem = new FileInputStream(ca)) {
			store.setCertificateEntry("ca",
				CertificateFactory.getInstance("X.509").generateCertificate(pem));
		}
		TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
		trust.init(store);
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(null, trust.getTrustManagers(), null);
		return HttpClient.newBuilder().sslContext(context).build();
	}

	static void tell(String event, String id, String fields) {
		System.out.printf("{\"event\": \"%s\", \"id\": \"%s\", \"t\": %.6f, %s}%n", event, id,
			System.currentTimeMillis() / 1e3, fields);
	}

	static void run(HttpClient client, String[] arguments, String id, byte[] body) throws Exception {
		BigInteger hash = new BigInteger(1, MessageDigest.getInstance("SHA-256").digest(body));
		HttpRequest request = HttpRequest
			.newBuilder(URI.create("https://api.openai.com:" + arguments[0] + "/v1/chat/completions"))
			.header("Authorization", "Bearer " + arguments[2]).header("X-Test-Id", id)
			.header("Content-Type", "application/json")
			.POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
		tell("sending", id, String.format("\"sha256\": \"%064x\", \"bytes\": %d", hash, body.length));
		long begin = System.nanoTime();
		try {
			HttpResponse<String> answer =
				client.send(request, HttpResponse.BodyHandlers.ofString());
			tell("done", id, String.format("\"ms\": %.3f, \"status\": %d, \"usage\": null",
				(System.nanoTime() - begin) / 1e6, answer.statusCode()));
		} catch (java.io.IOException error) {
			tell("error", id, String.format("\"ms\": %.3f, \"name\": \"%s\", \"message\": \"\"",
				(System.nanoTime() - begin) / 1e6, error.getClass().getSimpleName()));
		}
	}

	public static void main(String[] arguments) throws Exception {
		HttpClient client = client(arguments[1]);
		if (arguments[3].equals("wait")) {
			System.out.println("{\"event\": \"ready\"}");
			System.in.read();
		}
		for (int i = 4; i + 1 < arguments.length; i += 2)
			run(client, arguments, arguments[i], Files.readAllBytes(Path.of(arguments[i + 1])));
	}
}
