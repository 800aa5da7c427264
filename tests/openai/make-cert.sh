#!/bin/sh
# Make a throw-away authority and a server certificate that it signed, for tests only:
#   make-cert.sh OUTDIR    writes ca.pem, cert.pem and key.pem there
# The authority's key is deleted at once, so nothing else can ever be signed with it. The key usage and
# identifier extensions are there because strict verifiers (Python 3.13, Go) ask for them.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 OUTDIR" >&2; exit 2; }
mkdir -p "$1"
cd "$1"
umask 077
trap 'rm -f ca.key request.pem extensions.cnf' EXIT

cat > extensions.cnf <<END
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:api.openai.com, DNS:*.openai.azure.com, DNS:api.anthropic.com, DNS:localhost, IP:127.0.0.1, IP:::1
END

openssl ecparam -genkey -name prime256v1 -noout -out ca.key
openssl ecparam -genkey -name prime256v1 -noout -out key.pem
openssl req -x509 -new -key ca.key -sha256 -days 30 -subj "/CN=Sluice test authority" \
	-config extensions.cnf -extensions authority -out ca.pem
openssl req -new -key key.pem -sha256 -subj "/CN=api.openai.com" -config extensions.cnf \
	-out request.pem
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 8)" \
	-sha256 -days 30 -extfile extensions.cnf -extensions server -out cert.pem 2>/dev/null
chmod 644 ca.pem cert.pem
