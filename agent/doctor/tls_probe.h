// SPDX-License-Identifier: MIT
// A TLS connection, directly or through a proxy: who answers, with which certificate, and whether it is trusted
// (libcurl). Nothing of HTTP is sent but a proxy's CONNECT.
// Invariant: no certificate is trusted for having been seen; what was not verified is told as that.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/stun/stun.h"
#include "maps/net/prefix.h"

namespace kudo {

// What of a certificate must be right: nothing; that this host trusts its issuer, where no name is known; that, and
// that it is the host's own.
enum class Verify { Nothing, Issuer, Name };

struct TlsProbe {
    std::string host; // the name in SNI and certificate; an address: no name
    uint16_t port = 443;
    std::optional<Address> to{}; // connects there; nothing: as `host` resolves, or as the proxy resolves it
    std::string proxy{};         // "http://10.0.0.1:3128"; empty: none
    Verify verify = Verify::Name;
    bool allocate = false; // sends TURN's Allocate over it
    std::chrono::milliseconds timeout{4000};

    // What became of it:
    bool connected = false;                 // TLS is there, and the certificate is right unless not to be verified
    std::string problem{};                  // libcurl's words, where it is not
    bool is_certificate = false;            // the problem is the certificate
    bool is_local = false;                  // the problem is this host's own: no usable CA bundle
    long proxy_status = 0;                  // of CONNECT: 200, 407
    std::chrono::microseconds tcp{}, tls{}; // until TCP's handshake had ended, and TLS's
    std::string issuer{}, subject{};        // of the server's certificate, as OpenSSL writes them; empty: none was seen
    std::optional<StunResponse> response{}; // to the Allocate
};

// libcurl, which is to be set up before there are threads, and as long as there are probes.
class TlsLibrary {
public:
    TlsLibrary();
    ~TlsLibrary();
    TlsLibrary(const TlsLibrary&) = delete;
    TlsLibrary& operator=(const TlsLibrary&) = delete;
};

// With a thread for each.
void probe_tls(std::vector<TlsProbe>& probes);
// Is libcurl built in?
bool has_tls_probe();

// Is the certificate's issuer one that this host's administrator has added, beside those of the distribution
// (/usr/share/ca-certificates)? Connects once more. Nothing: it cannot be told here, or was not verified.
std::optional<bool> is_issued_by_added_authority(const TlsProbe& probe);

} // namespace kudo
