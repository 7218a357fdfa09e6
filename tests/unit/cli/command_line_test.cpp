// SPDX-License-Identifier: MIT
// Command lines and config files, and what people are told about wrong ones.
// Invariant: nothing here runs a command that changes anything.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include "cli/arguments/command_line.h"
#include "cli/commands/commands.h"
#include "cli/ranges/current_rules.h"
#include "maps/document/built_in.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

#ifdef KUDO_NATS
constexpr bool has_nats = true;
#else
constexpr bool has_nats = false;
#endif

// A folder of its own for each test.
class CommandLine : public testing::Test {
protected:
    std::string file(const std::string& name, const std::string& text) const { return temporary_.write(name, text); }
    // With a config file and a state of our own, so that those of the machine do not matter.
    Result<Invocation> parse(std::vector<std::string> words, const std::string& config = "") const {
        const std::string config_file = file("config.toml", config), state = (folder_ / "state").string();
        words.insert(words.begin(), {"kudo-agent", "--config", config_file, "--state-dir", state});
        std::vector<const char*> argv;
        for (const std::string& word : words)
            argv.push_back(word.c_str());
        return parse_command_line(commands(), static_cast<int>(argv.size()), argv.data());
    }
    std::string refusal(const std::vector<std::string>& words, const std::string& config = "") const {
        const auto invocation = parse(words, config);
        if (!invocation) {
            EXPECT_EQ(invocation.error().kind, ErrorKind::BadInput);
            return invocation.error().message;
        }
        const auto status = invocation->run(invocation->options);
        if (status) return "accepted";
        EXPECT_EQ(status.error().kind, ErrorKind::BadInput);
        return status.error().message;
    }
    // "FILE: says"
    void expect_config_refused(const std::string& config, const std::string& says) const {
        EXPECT_EQ(refusal({"status"}, config), (folder_ / "config.toml").string() + ": " + says) << config;
    }
    const test::TemporaryFolder temporary_;
    const std::filesystem::path folder_ = temporary_.path();
};

TEST_F(CommandLine, GlobalOptionsStandBeforeOrAfterTheCommand) {
    EXPECT_TRUE(parse({"--json", "status"}).value().options.json);
    EXPECT_TRUE(parse({"status", "--json", "-v"}).value().options.json);
    EXPECT_TRUE(parse({"ranges", "show", "--json"}).value().options.json);
    EXPECT_EQ(parse({"status", "--bpffs", "/x/../y"}).value().options.instance.bpffs, "/y");
}

TEST_F(CommandLine, AFolderHasOneNameWithASlashAndWithout) {
    const std::string config = file("config.toml", "");
    const auto folders = [&](const char* name) {
        const char* const argv[] = {"kudo-agent",  "--config", config.c_str(), "status",
                                    "--state-dir", name,       "--bpffs",      name};
        return parse_command_line(commands(), std::size(argv), argv).value().options.instance;
    };
    for (const char* name : {"/srv/kudo", "/srv/kudo/", "/srv//kudo//", "/srv/kudo/.", "/srv/x/../kudo/"}) {
        EXPECT_EQ(folders(name).state_dir, "/srv/kudo") << name;
        EXPECT_EQ(folders(name).bpffs, "/srv/kudo") << name;
    }
    EXPECT_EQ(folders("/").state_dir, "/");
}

TEST_F(CommandLine, ANearlyRightCommandGetsASuggestion) {
    EXPECT_EQ(refusal({"enabel", "--region", "ca"}), "unknown command \"enabel\"; did you mean enable?");
    EXPECT_EQ(refusal({"ranges", "shwo"}), "unknown command \"shwo\"; did you mean show?");
    EXPECT_TRUE(refusal({"frobnicate"})
                    .starts_with("unknown command \"frobnicate\"; the commands are enable, confirm, disable"));
    EXPECT_EQ(refusal({"ranges", std::string(100'000, 'x')}).find("did you mean"), std::string::npos);
}

TEST_F(CommandLine, AnUnknownOptionIsNamed) {
    EXPECT_EQ(refusal({"enable", "--regio", "ca"}), "unknown option --regio; did you mean --region?");
    EXPECT_EQ(refusal({"enable", "--upload=3mbit"}), "unknown option --upload; see kudo-agent enable --help");
}

TEST_F(CommandLine, AMissingValueIsNamed) {
    EXPECT_EQ(refusal({"enable", "--region"}), "--region takes exactly one value; see kudo-agent enable --help");
    EXPECT_EQ(refusal({"enable", "--mode", "observe", "--mode", "observe"}),
              "--mode takes exactly one value; see kudo-agent enable --help");
}

TEST_F(CommandLine, EnableWithoutARegionListsThem) {
    const std::string message = refusal({"enable"});
    EXPECT_NE(message.find("ca (Canada), cn (China), eu (Europe), us (United States)"), std::string::npos) << message;
    EXPECT_NE(message.find("kudo-agent enable --region ca"), std::string::npos);
    EXPECT_EQ(refusal({"enable", "--region", ""}), message);
}

TEST_F(CommandLine, EnforceWithoutAWayBackIsAskedForByItsName) {
    const std::vector<std::string> enforce = {"enable", "--region", "ca", "--mode", "enforce"};
    const auto refused_with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), enforce.begin(), enforce.end());
        return refusal(more);
    };
    EXPECT_NE(refused_with({"--confirm-within", "0"}).find("--no-confirm"), std::string::npos);
    EXPECT_NE(refused_with({"--confirm-within", "5s", "--no-confirm"}).find("--no-confirm for none"),
              std::string::npos);
    EXPECT_NE(refused_with({"--confirm-within", "2d"}).find("at most 24h"), std::string::npos);
    EXPECT_NE(refused_with({"--dry-run", "1h"}).find("--mode prioritise"), std::string::npos);
    EXPECT_NE(refused_with({"--interface", "lo"}).find("--interface lo"), std::string::npos);
}

TEST_F(CommandLine, AnAllowRuleIsReadWhileTheCommandLineIs) {
    EXPECT_EQ(refusal({"enable", "--region", "ca", "--allow", "tcp/x to any"}),
              "--allow: \"tcp/x to any\": the port \"x\": expected 1 to 65535, or two of them with - between");
    EXPECT_TRUE(refusal({"enable", "--region", "ca", "--lifeline", "dsn=off"}).starts_with("--lifeline: "));
}

TEST_F(CommandLine, WrongValuesOfEnableAreRefused) {
    const std::vector<std::string> enable = {"enable", "--region", "ca"};
    for (const auto& [option, value] : {std::pair{"--mode", "x"},
                                        {"--tc-hook", "x"},
                                        {"--ingress", "xdp-native"},
                                        {"--mark", "x"},
                                        {"--firewall-mark", "x"},
                                        {"--uplink", "x"},
                                        {"--downlink", "x"},
                                        {"--queue", "x"},
                                        {"--max-flows", "7"},
                                        {"--interface", ""}}) {
        auto words = enable;
        words.insert(words.end(), {option, value});
        EXPECT_TRUE(refusal(words).starts_with(option)) << refusal(words);
    }
}

TEST_F(CommandLine, TheConfigFileSetsOptions) {
    EXPECT_TRUE(parse({"status"}, "json = true\n").value().options.json);
    EXPECT_EQ(refusal({"enable"}, "[enable]\nregion = [\"ca\", \"us\"]\nmode = \"x\"\n"),
              "--mode: \"x\" is not one of observe, prioritise, enforce");
}

TEST_F(CommandLine, TheCommandLineWinsOverTheConfigFile) {
    EXPECT_EQ(refusal({"enable", "--mode", "y"}, "[enable]\nregion = \"ca\"\nmode = \"x\"\n"),
              "--mode: \"y\" is not one of observe, prioritise, enforce");
}

TEST_F(CommandLine, AMistakeInTheConfigFileMattersToItsCommandOnly) {
    EXPECT_TRUE(parse({"status"}, "[enable]\nmode = \"x\"\n"));
    EXPECT_TRUE(parse({"disable"}, "[enable]\nregio = \"ca\"\n")) << "nothing keeps anybody from disabling";
    EXPECT_TRUE(parse({"disable"}, "ring = \"a\"\n"));
    EXPECT_EQ(refusal({"status"}, "ring = \"a\"\n"), "--ring requires --fleet");
    EXPECT_EQ(refusal({"status"}, "fleet = \"\"\nring = \"a\"\n"), "--ring requires --fleet");
}

TEST_F(CommandLine, WhatDisableDoesNotNeedMayBeWrong) {
    for (const auto& [option, value] : {std::pair{"--ring", "a"}, {"--grace", "7x"}, {"--fleet", "A"}})
        EXPECT_TRUE(parse({"disable", option, value})) << option;
}

TEST_F(CommandLine, EarlyAdditionsAreHonouredUnlessRefused) {
    EXPECT_TRUE(parse({"status"}).value().options.acceptance.early_additions);
    EXPECT_TRUE(parse({"status"}, "no-early-additions = false\n").value().options.acceptance.early_additions);
    EXPECT_FALSE(parse({"status"}, "no-early-additions = true\n").value().options.acceptance.early_additions);
    EXPECT_FALSE(parse({"status", "--no-early-additions"}).value().options.acceptance.early_additions);
}

TEST_F(CommandLine, AnUnknownKeyOfTheConfigFileIsNamed) {
    expect_config_refused("[enable]\nregio = \"ca\"\n", "line 2: unknown key \"enable.regio\"; did you mean region?");
    expect_config_refused("[enabel]\nregion = \"ca\"\n", "line 1: unknown section [enabel]; did you mean enable?");
    expect_config_refused("[frobnicate]\n", "line 1: unknown section [frobnicate]");
    expect_config_refused("jsom = true\n", "line 1: unknown key \"jsom\"; did you mean json?");
    expect_config_refused("\n[run]\nconfig = \"x\"\n", "line 3: unknown key \"run.config\"");
    expect_config_refused("help = true\n", "line 1: unknown key \"help\"");
}

TEST_F(CommandLine, AHashInsideAQuotedArrayElementIsPartOfIt) {
    const std::string config = "[run]\ndrop-folder = [\"/a#b\", \"/c\"]\nreread-every = \"never\"\n";
    EXPECT_TRUE(refusal({"run", "--check"}, config).starts_with("--reread-every: "));
    EXPECT_TRUE(parse({"status"}, "fleet = \"acme\" # ours\n"));
}

TEST_F(CommandLine, AnArrayMayHaveSeveralLinesAndComments) {
    EXPECT_EQ(refusal({"enable"}, "[enable]\nregion = [\n  \"ca\", # Canada\n  \"us\",\n]\nmode = \"x\"\n"),
              "--mode: \"x\" is not one of observe, prioritise, enforce");
}

TEST_F(CommandLine, SectionsAndDottedKeysAreTheSame) {
    EXPECT_EQ(refusal({"enable"}, "enable.region = \"ca\"\nenable.mode = \"x\"\n"),
              "--mode: \"x\" is not one of observe, prioritise, enforce");
    EXPECT_EQ(refusal({"enable"}, "enable = {region = \"ca\", mode = \"x\"}\n"),
              "--mode: \"x\" is not one of observe, prioritise, enforce");
}

TEST_F(CommandLine, AnIntegerAnEmptyArrayAndAByteOrderMarkAreValid) {
    EXPECT_EQ(parse({"status"}, "key-threshold = 3\n").value().options.acceptance.key_threshold, 3U);
    EXPECT_TRUE(parse({"status"}, "[run]\ndrop-folder = []\n"));
    EXPECT_TRUE(parse({"status"}, "\xef\xbb\xbfjson = true\n").value().options.json);
    EXPECT_TRUE(parse({"status"}, "json = true\r\nv = true\r\n").value().options.verbose);
    EXPECT_TRUE(parse({"status"}, ""));
}

TEST_F(CommandLine, AValueOfTheWrongTypeIsNamedWithItsLine) {
    expect_config_refused("json = 1\n", "line 1: \"json\": an integer; expected true or false");
    expect_config_refused("json = \"true\"\n", "line 1: \"json\": a string; expected true or false");
    expect_config_refused("\nring = [\"a\"]\n", "line 2: \"ring\": an array; expected a string or an integer");
    expect_config_refused("ring = 2026-01-01\n", "line 1: \"ring\": a date or time; expected a string or an integer");
    expect_config_refused("ring = 1.5\n", "line 1: \"ring\": a number with a point; expected a string or an integer");
    expect_config_refused("[run.drop-folder]\na = 1\n",
                          "line 1: \"run.drop-folder\": a table; expected a string or an array of strings");
    expect_config_refused("[run]\ndrop-folder = [\n\"/a\",\n[\"/b\"]]\n",
                          "line 4: \"run.drop-folder\": an array in the array; expected strings");
    expect_config_refused("[run]\ndrop-folder = [true]\n",
                          "line 2: \"run.drop-folder\": a boolean in the array; expected strings");
    expect_config_refused("run = true\n", "line 1: \"run\" is a boolean; expected the section [run]");
    expect_config_refused("[[run]]\n", "line 1: \"run\" is an array; expected the section [run]");
}

TEST_F(CommandLine, WhatIsNoTomlIsToldWithItsLine) {
    for (const auto* config :
         {"\ngrace = 7d\n", "\njson\n", "\n[run\n", "\nring = \"a\nfleet = \"b\"\n", "\nring = \xff\n"}) {
        const std::string message = refusal({"status"}, config);
        EXPECT_TRUE(message.starts_with((folder_ / "config.toml").string() + ": line 2: not valid TOML: ")) << message;
        EXPECT_EQ(message.find('\n'), std::string::npos);
    }
    EXPECT_TRUE(refusal({"status"}, "grace = 7d\n")
                    .ends_with("text is written in quotes: key = \"text\", lists are "
                               "written as [\"a\", \"b\"]"));
}

TEST_F(CommandLine, AKeyOrSectionThatIsThereTwiceIsRefused) {
    for (const auto* config : {"json = true\njson = true\n", "[run]\n[run]\n"})
        EXPECT_TRUE(refusal({"status"}, config).ends_with("; each key and each section may be there once"))
            << refusal({"status"}, config);
}

TEST_F(CommandLine, TheFleetsNameMayStandInItsSection) {
    if (!has_nats) GTEST_SKIP() << "built without NATS";
    const std::string section = "[fleet]\nname = \"acme\"\n[fleet.publish]\nring = \"a\"\n";
    EXPECT_EQ(parse({"status"}, section).value().options.acceptance.fleet, "acme");
    EXPECT_EQ(parse({"status"}, "fleet = \"acme\"\n").value().options.acceptance.fleet, "acme");
    EXPECT_TRUE(refusal({"status"}, "fleet = \"acme\"\n[fleet.publish]\nring = \"a\"\n")
                    .ends_with("write the fleet's name into its section: [fleet], name = \"NAME\""));
}

TEST_F(CommandLine, AConfigFileHasABoundedSizeAndDepth) {
    EXPECT_TRUE(parse({"status"}, "# " + std::string(60'000, 'x') + "\n"));
    expect_config_refused("# " + std::string(100'000, 'x') + "\n", "larger than 65536 bytes");
    EXPECT_NE(refusal({"status"}, "ring = " + std::string(60'000, '[')).find("not valid TOML"), std::string::npos);
}

TEST_F(CommandLine, AConfigFileThatIsNoRegularFileIsNotWaitedFor) {
    const std::string pipe = (folder_ / "pipe.toml").string();
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    for (const std::string& path : {pipe, folder_.string()}) {
        const char* words[] = {"kudo-agent", "status", "--config", path.c_str()};
        const auto invocation = parse_command_line(commands(), 4, words);
        ASSERT_FALSE(invocation);
        EXPECT_EQ(invocation.error().message, "--config: " + path + " is not a regular file");
    }
}

TEST_F(CommandLine, RunCheckReadsTheWholeFile) {
    EXPECT_TRUE(refusal({"run", "--check"}, "[enable]\nmode = \"x\"\n")
                    .ends_with("config.toml: [enable]: --mode: \"x\" is not one of observe, prioritise, enforce"));
    EXPECT_TRUE(parse({"run"}, "[enable]\nmode = \"x\"\n"));
    EXPECT_TRUE(parse({"run", "--check"}, "[enable]\nmode = \"observe\"\n[run]\ndrop-folder = []\n"));
    EXPECT_TRUE(parse({"run", "--check"}, "[ranges.apply]\nallow-unsigned = true\n")) << "a file is not asked for";
}

TEST_F(CommandLine, RunCheckFindsFilesThatAreMissing) {
    const std::string missing = (folder_ / "missing").string(), junk = file("junk", "x");
    const auto check = [&](const std::string& option, const std::string& path) {
        return refusal({"run", "--check", option, path});
    };
    EXPECT_EQ(check("--drop-folder", missing), "--drop-folder: " + missing + ": No such file or directory");
    EXPECT_EQ(check("--drop-folder", junk), "--drop-folder: " + junk + ": not a folder");
    EXPECT_EQ(check("--keys", missing), "--keys: " + missing + ": No such file or directory");
    EXPECT_EQ(check("--drop-folder", folder_.string()), "accepted");
    EXPECT_EQ(refusal({"run", "--check"}, "[run]\ndrop-folder = [\"" + missing + "\"]\n"),
              "--drop-folder: " + missing + ": No such file or directory");
    if (!has_nats) return;
    EXPECT_EQ(refusal({"run", "--check", "--fleet", "a", "--ring", "b", "--nats", "tls://x:4222", "--nats-credentials",
                       missing}),
              "--nats-credentials: " + missing + ": No such file or directory");
}

TEST_F(CommandLine, RunCheckRefusesAThresholdThatNoKeysCanMeet) {
    const std::string keys = (folder_ / "keys").string();
    std::filesystem::create_directory(keys);
    std::ofstream(keys + "/ssh.pub") << "ssh-ed25519 AAAA\n";
    EXPECT_TRUE(refusal({"run", "--check", "--keys", keys}).starts_with("--key-threshold: 1 signature can never come"));
}

TEST_F(CommandLine, TheMessageServersUrlHoldsNoSecret) {
    if (!has_nats) GTEST_SKIP() << "built without NATS";
    for (const auto* url : {"nats://user:secret@host:4222", "nats://secret@host", "tls://a:4222,tls://x:secret@b:4222",
                            "secret@host", "nats://user:se/cret@host"}) {
        const std::string message = refusal({"run", "--check", "--fleet", "a", "--ring", "b", "--nats", url});
        EXPECT_TRUE(message.starts_with("--nats: ")) << message;
        EXPECT_EQ(message.find("secret"), std::string::npos) << message;
        EXPECT_EQ(message.find("cret@"), std::string::npos) << message;
    }
}

TEST_F(CommandLine, HelpIsGivenWhateverElseIsWrong) {
    EXPECT_TRUE(parse({"enable", "--help"}));
    EXPECT_TRUE(parse({"--help"}, "jsom = true\n"));
}

TEST_F(CommandLine, AConfigFileThatWasNamedMustBeThere) {
    const std::string missing = (folder_ / "missing.toml").string();
    const char* words[] = {"kudo-agent", "status", "--config", missing.c_str()};
    const auto invocation = parse_command_line(commands(), 4, words);
    ASSERT_FALSE(invocation);
    EXPECT_EQ(invocation.error().message, "--config: " + missing + " was not readable (missing?)");
}

TEST_F(CommandLine, ARangeFileMustBeARegularFileOfBoundedSize) {
    const std::string pipe = (folder_ / "pipe").string();
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_TRUE(read_range_file(pipe).error().message.starts_with(pipe + ": not a regular file"));
    EXPECT_TRUE(
        read_range_file(folder_.string()).error().message.starts_with(folder_.string() + ": not a regular file"));
    EXPECT_EQ(read_range_file(file("most", std::string(range_map_max_bytes, ' '))).value().size(), range_map_max_bytes);
    EXPECT_FALSE(read_range_file(file("more", std::string(range_map_max_bytes + 1, ' '))));
    EXPECT_EQ(read_range_file((folder_ / "none").string()).error().kind, ErrorKind::BadInput);
}

TEST_F(CommandLine, DashesAloneAreAnUnknownOption) {
    EXPECT_TRUE(refusal({"status", "---"}).starts_with("unknown option ---")) << refusal({"status", "---"});
}

using Words = std::vector<std::string>;

TEST_F(CommandLine, WhatTheServiceAnswersIsCarriedToItWithTheConfigFilesOptions) {
    const auto words = [&](const Words& line, const std::string& config = "") {
        return parse(line, config).value().words;
    };
    EXPECT_EQ(words({"status", "--json", "-v"}), Words{"status"});
    EXPECT_EQ(words({"stats", "--since", "10m"}, "[stats]\nflows = true\n"),
              (Words{"stats", "--flows=true", "--since=10m"}));
    EXPECT_EQ(words({"stats", "--watch"}), (Words{"stats", "--watch"}));
    EXPECT_EQ(words({"stats", "--watch", "5"}), (Words{"stats", "--watch=5"}));
    EXPECT_EQ(words({"explain", "--region", "us,eu", "52.200.60.17", "udp/3478"}),
              (Words{"explain", "52.200.60.17", "udp/3478", "--region=us", "--region=eu"}));
    EXPECT_EQ(words({"ranges", "show", "--domains"}), (Words{"ranges", "show", "--domains=true"}));
    EXPECT_EQ(words({"ranges", "history"}), (Words{"ranges", "history"}));
    for (const Words& line : {Words{"disable"}, {"ranges", "check", "x"}, {"run", "--check"}, {"version"}, {}})
        EXPECT_EQ(words(line), Words{}) << testing::PrintToString(line);
}

TEST_F(CommandLine, WhatIsCarriedToTheServiceIsReadThereAsItWasHere) {
    for (const Words& line : {Words{"status"},
                              {"stats", "--flows", "--drops", "--since", "10m"},
                              {"stats", "--watch"},
                              {"explain", "live.kudoway.ca", "tcp/443", "--region", "us,eu", "--teams"},
                              {"ranges", "show", "--region", "ca"}}) {
        const auto words = parse(line).value().words;
        ASSERT_FALSE(words.empty());
        const auto query = parse_query(commands(), words);
        EXPECT_TRUE(query.has_value()) << query.error().message;
    }
}

TEST_F(CommandLine, AQueryKnowsOnlyWhatTheServiceAnswers) {
    for (const Words& words : {Words{"disable"},
                               {"enable"},
                               {"ranges"},
                               {"ranges", "check", "/etc/shadow"},
                               {"run"},
                               {"version"},
                               {},
                               {"status", "--state-dir=/tmp"},
                               {"--bpffs=/tmp", "status"},
                               {"status", "--config=/etc/shadow"},
                               {"status", "--json"},
                               {"status", "--query-socket=none"},
                               {"status", "---"},
                               {"--help"},
                               {"status", "disable"}}) {
        const auto query = parse_query(commands(), words);
        ASSERT_FALSE(query.has_value()) << testing::PrintToString(words);
        EXPECT_EQ(query.error().kind, ErrorKind::BadInput);
    }
}

TEST_F(CommandLine, AQuerySocketIsAPathThatFitsOrNone) {
    EXPECT_EQ(parse({"status"}).value().options.query_socket, std::nullopt);
    EXPECT_EQ(parse({"status", "--query-socket", "none"}).value().options.query_socket, std::filesystem::path());
    EXPECT_EQ(parse({"status"}, "query-socket = \"/run/x/../y.sock\"\n").value().options.query_socket, "/run/y.sock");
    EXPECT_EQ(refusal({"status", "--query-socket", "/" + std::string(107, 'x')}).substr(0, 15), "--query-socket:");
    EXPECT_EQ(refusal({"status", "--query-socket", "/run/"}).substr(0, 15), "--query-socket:");
}

TEST(Words, AreTrimmedSortedAndDistinct) {
    EXPECT_EQ(normalised({" us", "ca ", "us", "", " "}), (std::vector<std::string>{"ca", "us"}));
}

TEST(Warnings, TellThatTeamsHasNoAddresses) {
    CompileOptions options;
    options.regions = {"ca"};
    EXPECT_TRUE(choice_warnings(built_in_range_map(), options).empty()) << "not even about opentok";
    options.optional_services = {"teams"};
    ASSERT_EQ(choice_warnings(built_in_range_map(), options).size(), 1U);
    EXPECT_TRUE(choice_warnings(built_in_range_map(), options)[0].starts_with(
        "teams has no IP ranges in range map 2022030100: its packets are recognised by"));
}

} // namespace
} // namespace kudo
