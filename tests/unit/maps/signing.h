// SPDX-License-Identifier: MIT
// Keys that sign in both formats, from libsodium alone, and the four lines of a signature file to take apart.
// Invariant: the same number gives the same key on every run; what is signed here the real minisign accepts as well, as
// maps_minisign_test.cpp shows.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include <sodium.h>

#include "maps/trust/minisign.h"

namespace kudo {

inline std::string base64(std::string_view bytes) {
    std::string text(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                      sodium_base64_VARIANT_ORIGINAL);
    text.pop_back(); // the NUL
    return text;
}

inline std::string digest_of(std::string_view bytes) {
    std::string digest(64, '\0');
    crypto_generichash(reinterpret_cast<unsigned char*>(digest.data()), digest.size(),
                       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), nullptr, 0);
    return digest;
}

class Signer {
public:
    explicit Signer(unsigned char number) {
        std::array<unsigned char, crypto_sign_SEEDBYTES> seed{number};
        crypto_sign_seed_keypair(public_key.key.data(), secret_.data(), seed.data());
        public_key.id = {number, 2, 3, 4, 5, 6, 7, 8};
    }

    // Ed25519 over these bytes, as they are: all that a key does, in any format.
    [[nodiscard]] std::string raw(std::string_view bytes) const {
        std::string signature(crypto_sign_BYTES, '\0');
        crypto_sign_detached(reinterpret_cast<unsigned char*>(signature.data()), nullptr,
                             reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), secret_.data());
        return signature;
    }
    // A signature file out of its parts.
    [[nodiscard]] std::string file(std::string_view algorithm, std::string_view signature, std::string_view comment,
                                   std::string_view global) const {
        const std::string id(public_key.id.begin(), public_key.id.end());
        return "untrusted comment: by hand\n" + base64(std::string(algorithm) + id + std::string(signature)) +
               "\ntrusted comment: " + std::string(comment) + "\n" + base64(global) + "\n";
    }
    // What minisign -S writes, and minisign -S -l.
    [[nodiscard]] std::string sign(std::string_view bytes, std::string_view comment = "by hand") const {
        const std::string signature = raw(digest_of(bytes));
        return file("ED", signature, comment, raw(signature + std::string(comment)));
    }
    [[nodiscard]] std::string sign_legacy(std::string_view bytes, std::string_view comment = "by hand") const {
        const std::string signature = raw(bytes);
        return file("Ed", signature, comment, raw(signature + std::string(comment)));
    }

    PublicKey public_key;

private:
    std::array<unsigned char, crypto_sign_SECRETKEYBYTES> secret_{};
};

} // namespace kudo
