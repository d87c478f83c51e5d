#include "sys/local_accounts.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sys/proc_files.h"

using namespace gpcsup::sys;

TEST_CASE("users and groups are read from the texts of the files") {
    LocalAccounts accounts;
    accounts.read_users(
        "root:x:0:0:root:/root:/bin/sh\n"
        "alice:x:1000:500::/home/alice:/bin/sh\n"
        "# a comment\n"
        "+::::::\n"
        "broken:x:nine:1::\n"
        "toor:x:0:0::/:\n"
        "alice:x:7:7::/:\n"
        "last:x:8:8");
    accounts.read_groups(
        "root:x:0:\nstudents:x:500:bob\naudio:x:29:bob,alice\nalices:x:30:notalice,alicex\n");
    CHECK(accounts.user_number("alice") == 1000);
    CHECK(accounts.user_number("toor") == 0);
    CHECK(accounts.user_number("last") == 8);
    CHECK_FALSE(accounts.user_number("broken"));
    CHECK_FALSE(accounts.user_number("bob"));
    CHECK(accounts.user_name(0) == "root");
    CHECK(accounts.user_name(7) == "alice");  // by its number, the second line is the first
    CHECK_FALSE(accounts.user_name(9));
    CHECK(accounts.group_number("students") == 500);
    CHECK(accounts.group_name(29) == "audio");
    CHECK(accounts.groups_of("alice") == std::vector<std::uint32_t>{500, 29});
    CHECK(accounts.groups_of("bob").empty());
}

TEST_CASE("a file that changed is read again, one that is not there is empty") {
    char name[] = "/tmp/gpcsup-accounts-XXXXXX";
    const std::filesystem::path directory = mkdtemp(name);
    const std::string users = (directory / "passwd").string();
    LocalAccounts accounts({users, (directory / "group").string()});
    accounts.refresh();
    CHECK_FALSE(accounts.user_number("carol"));
    std::ofstream(users) << "carol:x:1002:100::/:\n";
    accounts.refresh();
    CHECK(accounts.user_number("carol") == 1002);
    std::ofstream(users) << "carol:x:10022:100::/:\n";  // another size: whatever the clock's step
    accounts.refresh();
    CHECK(accounts.user_number("carol") == 10022);
    std::filesystem::remove(users);
    accounts.refresh();
    CHECK_FALSE(accounts.user_number("carol"));
    std::filesystem::remove_all(directory);
}

TEST_CASE("whose a process is") {
    const auto identity = parse_identity(
        "Name:\tping\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t500\t5\t5\t5\nFDSize:\t64\nGroups:\t24 29 500 "
        "\n");
    REQUIRE(identity);
    CHECK(identity->user == 1000);
    CHECK(identity->group == 500);
    CHECK(identity->groups == std::vector<gid_t>{24, 29, 500});
    const auto cut = parse_identity("Name:\tx\nUid:\t1\t1\t1\t1\nGid:\t2\t2\t2\t2\nGroups:\t24 29 50");
    REQUIRE(cut);
    CHECK(cut->groups == std::vector<gid_t>{24, 29});
    CHECK_FALSE(parse_identity("Name:\tx\n"));
}
