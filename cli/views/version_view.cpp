// SPDX-License-Identifier: MIT
#include "cli/views/version_view.h"

#include <sys/utsname.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/attach/kernel_features.h"
#include "bpf/abi.h"
#include "cli/terminal/output.h"

namespace kudo {

VersionView version_view() {
    utsname system{};
    uname(&system);
    OrderedJson offered = OrderedJson::object();
    Table table({{"FEATURE"}, {"THERE"}, {"FOR"}});
    for (const KernelFeature& feature : kernel_features()) {
        offered[feature.name] = feature.there ? OrderedJson(*feature.there) : OrderedJson();
        table.add({feature.name, !feature.there ? "unknown" : *feature.there ? "yes" : "no", feature.means});
    }
    return {.json = {{"version", KUDO_VERSION},
                     {"layout", KUDO_LAYOUT_VERSION},
                     {"kernel",
                      {{"release", system.release}, {"machine", system.machine}, {"features", std::move(offered)}}}},
            .text = fmt::format("kudo-agent {}, layout {}\nLinux {} ({})\n\n", KUDO_VERSION, KUDO_LAYOUT_VERSION,
                                system.release, system.machine) +
                    table.text(colour_wanted(), output_width())};
}

} // namespace kudo
