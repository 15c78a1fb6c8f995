set -u
dir=$(mktemp -d)
cd "$dir" || exit 1
key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
iv=f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff
sizes="0 1 16 17 55 64 65 111 127 128 129 257 1000 4095 65537 300001"
few="1 16 127 400 4097 65537"

# Data that no cipher under test makes: counted lines.
seq 1 60000 >all
for size in $sizes $few; do head -c "$size" all >"in$size"; done

# $1: what it is of; its answer is standard input, or nothing at all where OpenSSL lacks it.
answer() {
    got=$(sha256sum | cut -c1-64)
    # The digest of nothing.
    [ "$got" = e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ] || echo "$1 = $got"
}

for name in md5 sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-224 sha3-256 sha3-384 sha3-512 \
    blake2b512 blake2s256 sm3 ripemd160; do
    for size in $sizes; do
        openssl dgst "-$name" -r <"in$size" 2>/dev/null | cut -d' ' -f1 | answer "$name of $size bytes"
    done
done
for name in sha1 sha256 sha512 sha3-256; do
    for size in $few; do
        openssl dgst "-$name" -r -mac HMAC -macopt hexkey:$key <"in$size" 2>/dev/null |
            cut -d' ' -f1 | answer "hmac $name of $size bytes"
    done
done
for name in aes-128-ecb:32 aes-192-ecb:48 aes-256-ecb:64 aes-128-cbc:32 aes-192-cbc:48 aes-256-cbc:64 \
    aes-128-ctr:32 aes-192-ctr:48 aes-256-ctr:64 aes-128-cfb:32 aes-256-cfb:64 aes-256-cfb8:64 aes-128-ofb:32 \
    aes-256-ofb:64 camellia-256-cbc:64 aria-128-ctr:32 sm4-cbc:32 sm4-ctr:32 sm4-ecb:32 des-ede3-cbc:48 chacha20:64; do
    cipher=${name%:*}
    digits=${name#*:}
    k=$(echo $key | cut -c1-"$digits")
    for size in $few; do
        case $cipher in
        *-ecb) openssl enc "-$cipher" -K "$k" -in "in$size" -out out 2>/dev/null || : >out ;;
        des-*) openssl enc "-$cipher" -K "$k" -iv f0f1f2f3f4f5f6f7 -in "in$size" -out out 2>/dev/null || : >out ;;
        *) openssl enc "-$cipher" -K "$k" -iv $iv -in "in$size" -out out 2>/dev/null || : >out ;;
        esac
        answer "$cipher of $size bytes" <out
        # And back.
        if [ -s out ]; then
            case $cipher in
            *-ecb) openssl enc -d "-$cipher" -K "$k" -in out -out back ;;
            des-*) openssl enc -d "-$cipher" -K "$k" -iv f0f1f2f3f4f5f6f7 -in out -out back ;;
            *) openssl enc -d "-$cipher" -K "$k" -iv $iv -in out -out back ;;
            esac
            cmp -s back "in$size" || echo "$cipher of $size bytes back = differs"
        fi
    done
done
# Message authentication codes that use carry-less multiplication and 130-bit arithmetic.
for size in $few; do
    openssl mac -cipher aes-256-gcm -macopt hexkey:$key -macopt hexiv:f0f1f2f3f4f5f6f7f8f9fafb -in "in$size" GMAC \
        2>/dev/null | answer "gmac of $size bytes"
    openssl mac -cipher aes-128-cbc -macopt hexkey:000102030405060708090a0b0c0d0e0f -in "in$size" CMAC \
        2>/dev/null | answer "cmac of $size bytes"
    openssl mac -macopt hexkey:$key -in "in$size" Poly1305 2>/dev/null | answer "poly1305 of $size bytes"
    openssl mac -macopt hexkey:$key -in "in$size" KMAC-256 2>/dev/null | answer "kmac256 of $size bytes"
    openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -in "in$size" SIPHASH 2>/dev/null |
        answer "siphash of $size bytes"
done
# Key derivation, and public keys from fixed private ones: big integers and curves.
openssl kdf -keylen 64 -kdfopt digest:SHA256 -kdfopt hexkey:$key -kdfopt hexsalt:$iv -kdfopt hexinfo:00 HKDF | answer hkdf
openssl kdf -keylen 64 -kdfopt pass:word -kdfopt hexsalt:$iv -kdfopt n:64 -kdfopt r:8 -kdfopt p:1 SCRYPT | answer scrypt
openssl kdf -keylen 64 -kdfopt pass:word -kdfopt hexsalt:$iv -kdfopt iter:5000 -kdfopt digest:SHA512 PBKDF2 | answer pbkdf2
# PKCS #8 of Ed25519 and X25519 keys.
for curve in 70:ed25519 6e:x25519; do
    hex=302e020100300506032b65${curve%:*}04220420$key
    # Bytes by their octal numbers, because not every shell's printf has hexadecimal ones.
    echo $hex | fold -w2 | while read -r byte; do
        # shellcheck disable=SC2059
        printf "\\$(printf %03o 0x$byte)"
    done >key.der
    bytes=$(wc -c <key.der)
    if [ "$bytes" = 48 ]; then
        openssl pkey -inform DER -in key.der -pubout -outform DER | answer "public key of ${curve#*:}"
        if [ "${curve#*:}" = ed25519 ]; then
            for size in 1 64 1000; do
                openssl pkeyutl -sign -keyform DER -inkey key.der -rawin -in "in$size" | answer "ed25519 of $size bytes"
            done
        fi
    fi
done
for last in 1 3 7 9; do
    openssl prime -hex "$(sha512sum <all | cut -c1-100)$last" | answer "primality of a number that ends in $last"
done
cd /
rm -rf "$dir"
