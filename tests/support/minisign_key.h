// SPDX-License-Identifier: MIT
// A key pair made by the real minisign, and files signed with it.
// Invariant: the files live in the folder that was given.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

#include "tests/support/process.h"

namespace kudo::test {

class MinisignKey {
public:
    // FOLDER/NAME.pub and FOLDER/NAME.sec.
    MinisignKey(const std::string& folder, const std::string& name)
        : public_file(folder + "/" + name + ".pub"), secret_file_(folder + "/" + name + ".sec") {
        std::filesystem::create_directories(folder);
        run({"minisign", "-G", "-W", "-f", "-p", public_file, "-s", secret_file_});
    }
    // Writes FILE.minisig, or `signature` if it is given.
    void sign(const std::string& file, const std::string& signature = "") const {
        run({"minisign", "-S", "-s", secret_file_, "-m", file, "-x",
             signature.empty() ? file + ".minisig" : signature});
    }
    // The legacy kind, over the bytes themselves.
    void sign_legacy(const std::string& file) const {
        run({"minisign", "-S", "-l", "-s", secret_file_, "-m", file, "-x", file + ".minisig"});
    }

    const std::string public_file;

private:
    static void run(const std::vector<std::string>& argv) {
        const Outcome outcome = run_program(argv);
        if (outcome.status != 0) throw std::runtime_error("minisign: " + outcome.err + outcome.out);
    }
    const std::string secret_file_;
};

} // namespace kudo::test
