// SPDX-License-Identifier: MIT
#include "maps/base/result.h"

#include <system_error>

namespace kudo {

tl::unexpected<Error> fail_errno(std::string_view what, int number) {
    return fail(std::string(what) + ": " + std::generic_category().message(number), number);
}

} // namespace kudo
