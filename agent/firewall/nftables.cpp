// SPDX-License-Identifier: MIT
#include "agent/firewall/nftables.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "agent/system/fd.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

struct NftFree {
    void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

// By the kernel's words: errno is not kept on every way out of the library.
int number_of(const std::string& words, int error) {
    if (words.find("Operation not permitted") != std::string::npos) return EPERM;
    if (words.find("No such file or directory") != std::string::npos) return ENOENT;
    return error;
}

// libnftables ends the process where the kernel has no such sockets, and writes to stderr where it may not ask
// (src/mnl.c of nftables 1.0.6): so the first message that it sends is sent here first.
Result<void> may_ask() {
    const Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    if (!fd) return fail_errno("no netfilter in this kernel (nfnetlink)");
    struct {
        nlmsghdr header;
        nfgenmsg message;
    } const request{{sizeof request, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, NLM_F_REQUEST | NLM_F_ACK, 0, 0}, {}};
    const timeval timeout{1, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (send(fd.get(), &request, sizeof request, 0) < 0) return fail_errno("cannot ask netfilter");
    alignas(nlmsghdr) std::array<char, 1024> answer{};
    const ssize_t got = recv(fd.get(), answer.data(), answer.size(), 0);
    if (got < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(nlmsgerr))) return {};
    nlmsghdr header{};
    nlmsgerr error{};
    std::memcpy(&header, answer.data(), sizeof header);
    std::memcpy(&error, answer.data() + sizeof header, sizeof error);
    if (header.nlmsg_type == NLMSG_ERROR && error.error == -EPERM)
        return fail(Error{ErrorKind::NotPermitted, "nftables needs CAP_NET_ADMIN", EPERM});
    return {};
}

} // namespace

Result<std::string> run_nftables(const std::string& commands, unsigned flags) {
    KUDO_TRY(may_ask());
    const std::unique_ptr<nft_ctx, NftFree> context(nft_ctx_new(NFT_CTX_DEFAULT));
    if (!context) return fail("cannot open nftables", ENOMEM);
    nft_ctx_buffer_output(context.get());
    nft_ctx_buffer_error(context.get());
    nft_ctx_output_set_flags(context.get(), flags);
    errno = 0;
    const int status = nft_run_cmd_from_buffer(context.get(), commands.c_str());
    const int error = errno;
    const char* words = nft_ctx_get_error_buffer(context.get());
    if (status != 0) { // without one the words are warnings, as of tables that iptables-nft manages
        // One line, without where in the command.
        const std::string_view text = words ? words : "";
        std::string message = escaped(text.substr(0, text.find('\n')), 200);
        const int number = number_of(message, error);
        return fail(Error{number == EPERM ? ErrorKind::NotPermitted : ErrorKind::Failed, std::move(message), number});
    }
    const char* output = nft_ctx_get_output_buffer(context.get());
    return std::string(output ? output : "");
}

} // namespace kudo
