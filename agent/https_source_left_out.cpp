// SPDX-License-Identifier: MIT
// What stands for the HTTPS source where KUDO_HTTPS is off.
#include "agent/https_source.h"

namespace kudo {

Result<std::unique_ptr<Source>> HttpsSource::open(HttpsOptions /*options*/) {
    return bad_input("this kudo-agent was built without range maps from web servers (KUDO_HTTPS=OFF); use a folder");
}

} // namespace kudo
