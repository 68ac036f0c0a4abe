// Bouncy Castle's EST classes against a service: from the CA certificates to a re-enrollment, and what is refused.
//
// The environment says where and with what: EST_SERVER (host:port), EST_LABEL (a customer's or a group's id, or
// nothing), EST_ANCHOR (PEM file), EST_KEY (file with a version 1 key string for one use).

import java.io.FileInputStream;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.Set;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.est.CACertsResponse;
import org.bouncycastle.est.ESTException;
import org.bouncycastle.est.ESTService;
import org.bouncycastle.est.EnrollmentResponse;
import org.bouncycastle.est.HttpAuth;
import org.bouncycastle.est.jcajce.JcaJceUtils;
import org.bouncycastle.est.jcajce.JsseDefaultHostnameAuthorizer;
import org.bouncycastle.est.jcajce.JsseESTServiceBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

public class BouncyCastle {
    private static final char[] NO_PASSWORD = new char[0];

    public static void main(String[] arguments) throws Exception {
        String key = Files.readString(Path.of(System.getenv("EST_KEY"))).trim();
        HttpAuth right = auth(key);
        // The last character of the secret is another one.
        HttpAuth wrong = auth(key.substring(0, key.length() - 1) + (key.endsWith("A") ? "B" : "A"));
        ESTService anonymous = service(null, null);

        CACertsResponse authorities = anonymous.getCACerts();
        X509CertificateHolder[] all = ESTService.storeToArray(authorities.getCertificateStore());
        check(authorities.isTrusted(), "the CAs come from a trusted service");
        check(Arrays.stream(all).filter(ca -> ca.getSubject().equals(ca.getIssuer())).count() == 1, "there is one root");
        check(all.length > 1, "and CAs below it");
        check(!anonymous.getCSRAttributes().hasAttributesResponse(), "no attributes are asked for");

        KeyPair first = keyPair();
        PKCS10CertificationRequest csr = csr(first, "CN=any, SERIALNUMBER=bouncy castle 1");
        refused(401, "", () -> anonymous.simpleEnroll(false, csr, wrong));
        refused(401, "", () -> anonymous.simpleEnroll(false, csr, null));
        X509Certificate enrolled = certificate(anonymous.simpleEnroll(false, csr, right));
        check(enrolled.getPublicKey().equals(first.getPublic()), "the certificate is of the device's key pair");
        check(certificate(anonymous.simpleEnroll(false, csr, right)).equals(enrolled), "a lost answer is repaired");
        PKCS10CertificationRequest other = csr(keyPair(), "SERIALNUMBER=bouncy castle 2");
        refused(403, "key-exhausted", () -> anonymous.simpleEnroll(false, other, right));

        // Whom it is about is what the certificate says, not the CSR.
        PKCS10CertificationRequest again = csr(first, "CN=somebody else");
        refused(401, "", () -> anonymous.simpleEnroll(true, again, null));
        X509Certificate renewed = certificate(service(enrolled, first).simpleEnroll(true, again, null));
        check(!renewed.getSerialNumber().equals(enrolled.getSerialNumber()), "it is a new certificate");
        check(renewed.getSubjectX500Principal().equals(enrolled.getSubjectX500Principal()), "of the same component");
        KeyPair second = keyPair();
        PKCS10CertificationRequest next = csr(second, "CN=any");
        X509Certificate rekeyed = certificate(service(renewed, first).simpleEnroll(true, next, null));
        check(rekeyed.getPublicKey().equals(second.getPublic()), "the key pair can be another one");
        check(certificate(service(renewed, first).simpleEnroll(true, next, null)).equals(rekeyed), "repaired, too");
        refused(401, "", () -> service(enrolled, first).simpleEnroll(true, next, null));
        System.out.println(new BigInteger(1, rekeyed.getSerialNumber().toByteArray()).toString(16));
    }

    private static HttpAuth auth(String key) {
        return new HttpAuth("bouncy castle", key.toCharArray());
    }

    /** With a client certificate, if there is one. */
    private static ESTService service(X509Certificate certificate, KeyPair keyPair) throws Exception {
        String server = System.getenv("EST_SERVER");
        JsseESTServiceBuilder builder = new JsseESTServiceBuilder(server, anchor());
        builder.withHostNameAuthorizer(new JsseDefaultHostnameAuthorizer(Set.of()));
        builder.withTimeout(60_000);
        if (certificate != null) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            store.load(null, null);
            store.setKeyEntry("device", keyPair.getPrivate(), NO_PASSWORD, new X509Certificate[] {certificate});
            builder.withKeyManagers(
                    JcaJceUtils.createKeyManagerFactory("SunX509", null, store, NO_PASSWORD).getKeyManagers());
        }
        String label = System.getenv("EST_LABEL");
        if (label != null) {
            builder.withLabel(label);
        }
        return builder.build();
    }

    private static X509TrustManager anchor() throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (FileInputStream file = new FileInputStream(System.getenv("EST_ANCHOR"))) {
            store.setCertificateEntry("anchor", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return (X509TrustManager) factory.getTrustManagers()[0];
    }

    private static KeyPair keyPair() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        return generator.generateKeyPair();
    }

    private static PKCS10CertificationRequest csr(KeyPair keyPair, String subject) throws Exception {
        return new JcaPKCS10CertificationRequestBuilder(new X500Principal(subject), keyPair.getPublic())
                .build(new JcaContentSignerBuilder("SHA256withECDSA").build(keyPair.getPrivate()));
    }

    /** The one certificate of an answer. */
    private static X509Certificate certificate(EnrollmentResponse response) throws Exception {
        check(response.isCompleted(), "there is an answer");
        X509CertificateHolder[] all = ESTService.storeToArray(response.getStore());
        check(all.length == 1, "the answer is one certificate");
        return new JcaX509CertificateConverter().getCertificate(all[0]);
    }

    private interface Attempt {
        Object make() throws Exception;
    }

    private static void refused(int status, String code, Attempt attempt) throws Exception {
        try {
            attempt.make();
        } catch (ESTException refusal) {
            check(refusal.getStatusCode() == status, status + " was expected, found " + refusal.getMessage());
            String body = refusal.getBody() == null ? "" : new String(refusal.getBody().readAllBytes());
            check(code.isEmpty() ? body.isEmpty() : body.contains(code), code + " was expected, found " + body);
            return;
        }
        throw new AssertionError(status + " was expected, found a certificate");
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
