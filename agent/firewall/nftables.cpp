// SPDX-License-Identifier: MIT
#include "agent/firewall/nftables.h"

#include <nftables/libnftables.h>

#include <cerrno>
#include <memory>
#include <string_view>

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

} // namespace

Result<std::string> run_nftables(const std::string& commands, unsigned flags) {
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
