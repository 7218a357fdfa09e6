// SPDX-License-Identifier: MIT
// Writes manual pages and completion into a folder, while the program is built: kudo_make_manual FOLDER WRITTEN.
// WRITTEN has what people wrote: NAME.5 pages, and for pages of section 1 further sections in NAME.1.
// Invariant: with SOURCE_DATE_EPOCH the same sources give the same bytes.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/manual/completion.h"
#include "cli/manual/page.h"
#include "cli/manual/program.h"

namespace {
namespace fs = std::filesystem;

// As mdoc wants it: "November 9, 2026".
std::string date() {
    const char* epoch = std::getenv("SOURCE_DATE_EPOCH");
    const std::time_t now = epoch ? std::atoll(epoch) : std::time(nullptr);
    const std::tm day = fmt::gmtime(now);
    return fmt::format("{:%B} {}, {:%Y}", day, day.tm_mday, day);
}

std::string read(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

bool write(const fs::path& path, const std::string& text) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << text;
    file.close();
    if (!file) fmt::print(stderr, "{}: cannot write\n", path.string());
    return static_cast<bool>(file);
}

std::string with_date(std::string page) {
    const std::string mark = "@DATE@";
    if (const auto at = page.find(mark); at != std::string::npos) page.replace(at, mark.size(), date());
    return page;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        fmt::print(stderr, "usage: kudo_make_manual FOLDER WRITTEN\n");
        return 2;
    }
    const fs::path folder = argv[1], written = argv[2];
    const kudo::ManualCommand program = kudo::read_program(kudo::commands());
    bool done = true;
    for (const kudo::ManualCommand* command : kudo::flattened(program)) {
        const std::string file = kudo::page_name(*command) + ".1";
        const std::string more = fs::exists(written / file) ? read(written / file) : "";
        done &= write(folder / "man1" / file, kudo::manual_page(program, *command, date(), more));
    }
    for (const auto& entry : fs::directory_iterator(written))
        if (entry.path().extension() == ".5")
            done &= write(folder / "man5" / entry.path().filename(), with_date(read(entry.path())));
    done &= write(folder / "completion/bash/kudo-agent", kudo::bash_completion(program));
    done &= write(folder / "completion/zsh/_kudo-agent", kudo::zsh_completion(program));
    done &= write(folder / "completion/fish/kudo-agent.fish", kudo::fish_completion(program));
    return done ? 0 : 1;
}
