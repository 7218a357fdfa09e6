// SPDX-License-Identifier: MIT
#include "maps/trust/bundle.h"

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

Result<void> check_sizes(std::size_t signatures, std::size_t document) {
    if (signatures > signatures_max_bytes)
        return bad_input(
            fmt::format("the signatures have {} bytes; at most {} are expected", signatures, signatures_max_bytes));
    if (document > range_map_max_bytes)
        return bad_input(
            fmt::format("the document has {} bytes; at most {} are expected", document, range_map_max_bytes));
    return {};
}

// Where the first empty line begins.
std::size_t empty_line(std::string_view text) {
    if (text.starts_with('\n')) return 0;
    const std::size_t end = text.find("\n\n");
    return end == std::string_view::npos ? end : end + 1;
}

} // namespace

Result<std::string> join(const Bundle& bundle) {
    std::string value;
    for (const std::string_view line : split(bundle.signatures, '\n'))
        if (!line.empty() && line != "\r") value.append(line).append("\n");
    KUDO_TRY(check_sizes(value.size(), bundle.document.size()));
    value += '\n';
    value += bundle.document;
    return value;
}

Result<Bundle> split_bundle(std::string_view value) {
    if (value.size() > bundle_max_bytes)
        return bad_input(fmt::format("{} bytes are too many; at most {} are expected", value.size(), bundle_max_bytes));
    const std::size_t line = empty_line(value);
    if (line == std::string_view::npos)
        return bad_input("no empty line; expected signatures, an empty line and a document");
    Bundle bundle{std::string(value.substr(0, line)), std::string(value.substr(line + 1))};
    KUDO_TRY(check_sizes(bundle.signatures.size(), bundle.document.size()));
    return bundle;
}

} // namespace kudo
