// SPDX-License-Identifier: MIT
// Turns an errno into an Error. Used wherever a system call failed.
// Invariant: the number is kept beside the text.
#include "maps/base/result.h"

#include <system_error>

namespace kudo {

tl::unexpected<Error> fail_errno(std::string_view what, int number) {
    return fail(std::string(what) + ": " + std::generic_category().message(number), number);
}

} // namespace kudo
