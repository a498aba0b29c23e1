package effect

import "crypto/x509"

// TrustMail makes an e-mail target trust these authorities instead of the
// system's.
func TrustMail(t Ticketer, roots *x509.CertPool) { t.(*email).tlsConfig.RootCAs = roots }
