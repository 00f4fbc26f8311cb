# Certificates, good and bad, made by openssl in the current folder.
set -eu
printf '[req]\ndistinguished_name = dn\n[dn]\n' > req.cnf
CA='basicConstraints=critical,CA:TRUE'
KU='keyUsage=critical,keyCertSign,cRLSign'
ID='subjectKeyIdentifier=hash'

key() { openssl ecparam -genkey -noout -name "${2:-prime256v1}" -out "$1.key"; }
# self NAME OPTION...: signed by its own key.
self() {
    name=$1; shift
    [ -f "$name.key" ] || key "$name"
    openssl req -x509 -config req.cnf -new -key "$name.key" -subj "/CN=$name" -days 3650 -out "$name.pem" "$@"
}
# root NAME OPTION...: as a CA should be, and more.
root() {
    name=$1; shift
    self "$name" -addext "$CA" -addext "$KU" -addext "$ID" "$@"
}
# issued NAME ISSUER EXTENSIONS OPTION...: signed by another.
issued() {
    name=$1; by=$2; extensions=$3; shift 3
    [ -f "$name.key" ] || key "$name"
    openssl req -config req.cnf -new -key "$name.key" -subj "/CN=$name" -out "$name.csr"
    printf '%b\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' "$extensions" > "$name.ext"
    openssl x509 -req -in "$name.csr" -CA "$by.pem" -CAkey "$by.key" -CAcreateserial -days 800 \
        -extfile "$name.ext" -out "$name.pem" "$@" 2>/dev/null
}
server() { printf 'basicConstraints=CA:FALSE\\nkeyUsage=critical,digitalSignature\\nextendedKeyUsage=serverAuth\\nsubjectAltName=%s' "$1"; }

root goodroot
root otherroot
root soon -days 30
root serial -set_serial 0
root longlife -days 20000
root purpose -addext extendedKeyUsage=codeSigning
root critical -addext 1.2.3.4=critical,DER:0500
root ncroot -addext 'nameConstraints=critical,permitted;DNS:corp.example,permitted;IP:10.0.0.0/255.0.0.0'
root nclax -addext 'nameConstraints=excluded;DNS:secret.corp.example'
key curve secp256k1; root curve
openssl genrsa -out rsa1024.key 1024 2>/dev/null; root rsa1024
openssl genrsa -out rsa2048.key 2048 2>/dev/null; root rsa2048
cp rsa2048.key sha1root.key; root sha1root -sha1
self noku -addext "$CA" -addext "$ID"
self notcritical -addext basicConstraints=CA:TRUE -addext "$KU" -addext "$ID"
self noid -addext "$CA" -addext "$KU" -addext subjectKeyIdentifier=none
self leaf -addext basicConstraints=CA:FALSE -addext extendedKeyUsage=serverAuth -addext subjectAltName=DNS:repo.corp.example
self server -addext extendedKeyUsage=serverAuth -addext subjectAltName=DNS:repo.corp.example
key v1
openssl req -config req.cnf -new -key v1.key -subj /CN=v1 -out v1.csr
openssl x509 -req -in v1.csr -signkey v1.key -days 100 -out v1.pem 2>/dev/null

# A root whose signature has one bit changed.
openssl x509 -in goodroot.pem -outform DER -out goodroot.der
python3 - <<'PYTHON'
data = bytearray(open("goodroot.der", "rb").read())
data[-1] ^= 1
open("tampered.der", "wb").write(data)
PYTHON
openssl x509 -inform DER -in tampered.der -out tampered.pem

issued int goodroot "$CA,pathlen:0\n$KU"
issued srv int "$(server DNS:repo.corp.example,IP:10.1.2.3)"
issued noname int 'basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature'
issued client int 'basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:repo.corp.example'
issued int2 int "$CA\n$KU"
issued srv2 int2 "$(server DNS:repo.corp.example)"
issued notca goodroot "$(server DNS:ca.corp.example)"
issued underleaf notca "$(server DNS:repo.corp.example)"
issued direct ncroot "$(server DNS:repo.corp.example)"
issued outside ncroot "$(server DNS:repo.elsewhere.example)"
issued sha1int rsa2048 "$CA\n$KU" -sha1
issued sha1srv sha1int "$(server DNS:repo.corp.example)"
issued signer goodroot 'basicConstraints=CA:FALSE\nkeyUsage=critical,keyCertSign\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:repo.corp.example'
issued shortly goodroot "$(server DNS:repo.corp.example)" -days 10
# The same CA once more, issued by another root.
cp goodroot.key cross.key
openssl req -config req.cnf -new -key cross.key -subj /CN=goodroot -out cross.csr
printf '%s\n%s\n%s\n' "$CA" "$KU" "$ID" > cross.ext
openssl x509 -req -in cross.csr -CA otherroot.pem -CAkey otherroot.key -CAcreateserial -days 800 -extfile cross.ext \
    -out cross.pem 2>/dev/null
cp goodroot.key renewed.key; root renewed

cat srv.pem int.pem > full.pem
cat int.pem srv.pem > reversed.pem
cat srv.pem int.pem goodroot.pem > withroot.pem
cat srv.pem goodroot.pem int.pem > shuffled.pem
cat noname.pem int.pem > noname-full.pem
cat client.pem int.pem > client-full.pem
cat srv2.pem int2.pem int.pem > toolong.pem
cat underleaf.pem notca.pem > byleaf.pem
cat sha1srv.pem sha1int.pem > sha1-full.pem
cat goodroot.pem goodroot.pem > twice.pem
cat goodroot.pem goodroot.key > withkey.pem
