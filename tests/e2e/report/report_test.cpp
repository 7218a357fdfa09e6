// SPDX-License-Identifier: MIT
// `report` of staged bad calls: whoever reads the page and has seen nothing else finds the cause and who must act; and
// what its data is, redacted, hostile or damaged.
// Invariant: the faults are real ones: rules of nftables on the host and on a router. With KUDO_REPORT_PAGES=FOLDER the
// pages stay there, for tests/browser/report.py.
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "tests/e2e/diagnosis/path_fixture.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

std::string content_of(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream content;
    content << file.rdbuf();
    return content.str();
}

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

class Report : public PathTest {
protected:
    std::string file(const std::string& name = "report.html") const { return test_->folder + "/" + name; }

    // `report --json -o FILE` and more; without doctor, unless that is among them.
    nlohmann::json make(std::vector<std::string> more = {}) const {
        std::vector<std::string> arguments{"report", "--json", "-o", file()};
        if (const auto doctor = std::ranges::find(more, "doctor"); doctor != more.end())
            more.erase(doctor);
        else
            arguments.emplace_back("--no-doctor");
        if (std::ranges::find(more, "--for") == more.end()) arguments.insert(arguments.end(), {"--for", "1s"});
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Outcome outcome = test_->agent(arguments);
        if (outcome.status != 0) throw std::runtime_error(outcome.err);
        leave_page();
        return nlohmann::json::parse(outcome.out);
    }
    std::string page() const { return content_of(file()); }
    void leave_page() const {
        if (const char* folder = getenv("KUDO_REPORT_PAGES"))
            std::filesystem::copy_file(
                file(),
                fmt::format("{}/{}.html", folder, testing::UnitTest::GetInstance()->current_test_info()->name()),
                std::filesystem::copy_options::overwrite_existing);
    }
    // What a reader sees first.
    std::string first_of_page() const {
        const std::string text = page();
        return text.substr(text.find("<h1>"), text.find("</dl>") - text.find("<h1>"));
    }

    // A call whose media a rule of the host drops after a while.
    Call dropped_by_host(const std::string& comment = "no voip") const {
        Call bad = call();
        bad.run(1500ms);
        nft_in_host(fmt::format("table inet fw {{ chain in {{ type filter hook input priority 0;\n"
                                "udp sport 3478 limit rate over 100/second burst 20 packets counter drop comment "
                                "\"{}\"\n}}; }}\n",
                                comment));
        bad.run(3s);
        return bad;
    }
};

TEST_F(Report, NamesTheRuleOfThisHostAndItsAdministrator) {
    enable();
    const Call bad = dropped_by_host();
    const auto document = make({"doctor"});
    EXPECT_EQ(document.at("answer").at("where"), "host") << document.at("answer").dump(1);
    const std::string first = first_of_page();
    EXPECT_NE(first.find("Lost in this host"), std::string::npos) << first;
    EXPECT_NE(first.find("firewall"), std::string::npos) << first;
    EXPECT_NE(first.find("this host&#39;s administrator"), std::string::npos) << first;
    EXPECT_NE(first.find("nft"), std::string::npos) << first;
    EXPECT_FALSE(document.at("doctor").is_null());
    struct stat about {};
    ASSERT_EQ(stat(file().c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777U, 0600U);
}

TEST_F(Report, NamesFloodControlOnTheWayAndWhoRunsTheNetwork) {
    enable();
    nft_in_middlebox("table ip box { chain forward { type filter hook forward priority 0; }; }\n");
    Call flooded = call();
    flooded.settings.video_rate = 450;
    for (int i = 0; i < 3; ++i) {
        flooded.run(2s);
        nft_in_middlebox("add rule ip box forward udp sport 3478 drop");
        flooded.run(1300ms);
        nft_in_middlebox("flush chain ip box forward");
    }
    flooded.run(1s);
    const auto document = make();
    EXPECT_EQ(document.at("answer").at("where"), "before_host") << document.at("answer").dump(1);
    const std::string first = first_of_page();
    EXPECT_NE(first.find("flood control"), std::string::npos) << first;
    EXPECT_NE(first.find("whoever runs the network and the firewalls between this host and KUDO"), std::string::npos);
    for (const auto& point : document.at("asked")) {
        const std::string expected = point.at("topic") == "Media is not throttled" ? "not_met"
                                     : point.at("topic") == "UDP 3478"             ? "doubtful" // answers were lost too
                                                                                   : "not_known";
        EXPECT_EQ(point.at("result"), expected) << point.dump(1);
    }
    // The outages are in the line of loss, with their times.
    std::size_t bad_seconds = 0;
    for (const auto& second : document.at("timeline").at("streams"))
        if (!second.at("loss").is_null() && second.at("loss") > 0.3) ++bad_seconds;
    EXPECT_GE(bad_seconds, 3U) << document.at("timeline").dump();
    EXPECT_NE(page().find("<rect class=\"bar\""), std::string::npos);
}

TEST_F(Report, OfAGoodCallSaysThatNobodyNeedAct) {
    enable();
    Call good = call();
    std::thread going([&] { good.run(6s); });
    const auto document = make({"--for", "4s"});
    going.join();
    EXPECT_EQ(document.at("answer").at("where"), "none") << document.at("answer").dump(1);
    EXPECT_NE(first_of_page().find("Nobody"), std::string::npos) << first_of_page();
    std::size_t with_rtt = 0;
    for (const auto& sample : document.at("timeline").at("samples")) {
        with_rtt += sample.at("rtt_ms").is_null() ? 0 : 1;
        EXPECT_GT(sample.at("bits_in"), 100'000) << sample;
    }
    EXPECT_GE(with_rtt, 2U) << document.at("timeline").dump();
}

TEST_F(Report, ShowsWhatTheServiceHasKept) {
    enable();
    const RunningService service(*test_, {});
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(test_->instance.snapshots()); })) << service.log();
    Call good = call();
    good.run(2s);
    const auto document = make({"--for", "0"});
    const auto& kept = document.at("timeline").at("kept");
    ASSERT_FALSE(kept.empty());
    EXPECT_FALSE(kept.back().at("rtt_ms").is_null()) << kept.dump();
    EXPECT_GT(kept.back().at("received"), 400) << kept.dump();
    EXPECT_TRUE(document.at("timeline").at("not_kept_because").is_null());
    EXPECT_NE(page().find("As the service has kept it"), std::string::npos);
}

TEST_F(Report, IsReadBackAsItWasPutIn) {
    enable();
    const Call bad = dropped_by_host();
    const auto document = make();
    const Outcome shown = test_->agent({"report", "--show", file(), "--json"});
    ASSERT_EQ(shown.status, 0) << shown.err;
    EXPECT_EQ(nlohmann::json::parse(shown.out), document);
    const Outcome text = test_->agent({"report", "--show", file()}, {"COLUMNS=2000"});
    ASSERT_EQ(text.status, 0) << text.err;
    EXPECT_EQ(text.out.find(document.at("answer").at("summary").get<std::string>()), 0U) << text.out;
    EXPECT_NE(text.out.find("this host's administrator"), std::string::npos) << text.out;
    const Outcome piped = test_->agent({"report", "--no-doctor", "--for", "0", "-o", "-"});
    EXPECT_EQ(piped.out.find("<!DOCTYPE html>"), 0U);
}

TEST_F(Report, RedactedHasNothingOfThisHost) {
    enable();
    const Call bad = dropped_by_host("laptop of alice at 10.77.0.2, 0x0a4d0002, behind 192.168.9.1");
    const auto document = make({"--redact", "doctor"});
    EXPECT_EQ(document.at("redacted"), true);
    const std::string text = page();
    char host[256] = {};
    ASSERT_EQ(gethostname(host, sizeof host - 1), 0);
    std::string hardware = mac("host");
    for (const std::string& own :
         {std::string(host_address), std::string(host_address6), std::string("10.77.0"), std::string("0a4d0002"),
          std::string("192.168.9.1"), hardware, std::string("fe80::"), std::string("kudo_e2e_tests")})
        EXPECT_EQ(count_of(text, own), 0U) << own;
    EXPECT_FALSE(std::regex_search(text, std::regex("\\b" + std::string(host) + "\\b"))) << host;
    EXPECT_GT(count_of(text, media_address), 1U);
    const auto& flow = document.at("stats").at("flows").at(0);
    EXPECT_EQ(flow.at("local"), "host-1") << flow.dump(1);
    EXPECT_EQ(flow.at("process").at("name"), "process-1") << flow.dump(1);
    EXPECT_NE(document.at("answer").dump().find("host-1"), std::string::npos) << document.at("answer").dump(1);
    EXPECT_NE(text.find("laptop of alice at host-1, host-1, behind net-"), std::string::npos);
}

TEST_F(Report, HostileNamesAreText) {
    in_host("ip link add name <b>x type veth peer name eth9");
    in_host("ip link set <b>x up");
    enable();
    ASSERT_EQ(prctl(PR_SET_NAME, "</script><!--x"), 0);
    const Call bad = dropped_by_host("</script><script>alert(1)</script><img src=x onerror=alert(2)>");
    const auto document = make({"doctor"});
    prctl(PR_SET_NAME, "kudo_e2e_tests");
    EXPECT_NE(document.dump().find("</script><!--x"), std::string::npos) << "the process is named";
    EXPECT_NE(document.dump().find("onerror=alert(2)"), std::string::npos) << "the rule is named";
    const std::string text = page();
    EXPECT_EQ(count_of(text, "<script"), 1U);
    EXPECT_EQ(count_of(text, "</script"), 1U);
    EXPECT_EQ(count_of(text, "<!--"), 0U);
    EXPECT_EQ(count_of(text, "<img"), 0U);
    EXPECT_EQ(count_of(text, "<b>x"), 0U);
    EXPECT_EQ(nlohmann::json::parse(test_->agent({"report", "--show", file(), "--json"}).out), document);
}

TEST_F(Report, IsNotWrittenInThePlaceOfAnythingButAFile) {
    enable();
    const auto refused = [&](const std::string& path, const std::string& word) {
        const Outcome outcome = test_->agent({"report", "--no-doctor", "--for", "0", "-o", path});
        EXPECT_EQ(outcome.status, 2) << outcome.err;
        EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
        EXPECT_EQ(outcome.out, "");
    };
    const std::string precious = test_->write_file("precious", "mine");
    std::filesystem::create_symlink(precious, file("link"));
    refused(file("link"), "symbolic link");
    refused(test_->folder, "folder");
    refused(file("nowhere/report.html"), "No such file");
    refused("/dev/null", "device");
    ASSERT_EQ(mkfifo(file("fifo").c_str(), 0600), 0);
    refused(file("fifo"), "pipe");
    EXPECT_EQ(content_of(precious), "mine");
    EXPECT_EQ(test_->agent({"report", "--show", precious, "--redact"}).status, 2);
    const Outcome neither = test_->agent({"report"});
    EXPECT_EQ(neither.status, 2);
    EXPECT_NE(neither.err.find("-o"), std::string::npos) << neither.err;
}

TEST_F(Report, AFullDiskLeavesTheOldOne) {
    enable();
    const std::string small = file("small");
    std::filesystem::create_directory(small);
    ASSERT_EQ(run_program({"mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", small}).status, 0);
    std::ofstream(small + "/report.html") << "old";
    const Outcome outcome = test_->agent({"report", "--no-doctor", "--for", "0", "-o", small + "/report.html"});
    const std::string left = content_of(small + "/report.html");
    const auto files = std::distance(std::filesystem::directory_iterator(small), {});
    run_program({"umount", small});
    EXPECT_EQ(outcome.status, 1) << outcome.err;
    EXPECT_NE(outcome.err.find("No space left"), std::string::npos) << outcome.err;
    EXPECT_EQ(left, "old");
    EXPECT_EQ(files, 1);
}

TEST_F(Report, WhatIsNoReportIsRefused) {
    const auto refused = [&](const std::string& path, const std::string& word) {
        const Outcome outcome = test_->agent({"report", "--show", path});
        EXPECT_EQ(outcome.status, 2) << path << outcome.err;
        EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
        EXPECT_EQ(count_of(outcome.err, "\n"), 1U) << outcome.err;
    };
    const auto page_of = [&](const std::string& name, const std::string& data) {
        return test_->write_file(name, "<script type=\"application/json\" id=\"kudo-report\">" + data + "</script>");
    };
    refused(file("none"), "No such file");
    refused(test_->folder, "not a regular file");
    refused(test_->write_file("text", "hello"), "not a report");
    refused(page_of("json", "{\"format\": "), "not valid JSON");
    refused(page_of("format", "{\"format\": \"kudo-report/2\"}"), "kudo-report/1");
    refused(page_of("deep", std::string(200'000, '[') + std::string(200'000, ']')), "nested deeper");
    refused(test_->write_file("cut", "<script type=\"application/json\" id=\"kudo-report\">{\"format\":"), "cut");
    refused(page_of("big", std::string(17u << 20, ' ')), "larger than");
    // Of another shape, it is shown as far as it goes, without control characters.
    const Outcome odd = test_->agent(
        {"report", "--show",
         page_of("odd", R"({"format":"kudo-report/1","answer":{"summary":"a\u001b[31mb","who":7,"evidence":"x"},)"
                        R"("asked":{"x":1},"stats":{"flows":[1,null,{"network":[]}],"verdict":7},"map":[],)"
                        R"("doctor":{"checks":[[],{"result":"fail"}]},"not_known":[1,"y\r\n"]})")});
    EXPECT_EQ(odd.status, 0) << odd.err;
    EXPECT_EQ(count_of(odd.out, "\x1b"), 0U) << odd.out;
}

TEST_F(Report, WithoutEnableSaysThatNoCallWasLookedAt) {
    const Outcome without = test_->agent({"report", "-o", file()});
    EXPECT_EQ(without.status, 2);
    EXPECT_NE(without.err.find("--region"), std::string::npos) << without.err;
    const auto document = make({"--region", "ca"});
    EXPECT_TRUE(document.at("stats").is_null());
    EXPECT_NE(first_of_page().find("No call could be looked at"), std::string::npos) << first_of_page();
    EXPECT_EQ(first_of_page().find("No loss was seen"), std::string::npos);
}

// In the order in which they are there; without the checks of the network, which take 15 s each time.
TEST_F(Report, CommandsOfTheDocumentationDoWhatItSays) {
    enable();
    Call good = call();
    good.run(500ms);
    std::ifstream lines(KUDO_DOCS "/report.md");
    int commands = 0;
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("$ kudo-agent ")) continue;
        std::string command = line.substr(2, line.find("  #") == std::string::npos ? line.npos : line.find("  #") - 2);
        if (command.find("--show") == std::string::npos) command += " --no-doctor --for 1s";
        std::string program;
        for (const std::string& word : test_->agent_argv({}))
            program += word + " ";
        command.replace(0, std::string("kudo-agent ").size(), program);
        EXPECT_EQ(inside<Outcome>(test_->host,
                                  [&] {
                                      return run_program({"sh", "-c", "cd " + test_->folder + " && " + command});
                                  })
                      .status,
                  0)
            << line;
        ++commands;
    }
    EXPECT_GE(commands, 3);
}

} // namespace
} // namespace kudo::test
