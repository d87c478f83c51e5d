#include "launch/file_calls.h"

#include <linux/audit.h>
#include <linux/sched.h>
#include <sys/socket.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <set>
#include <string>

#include "launch/bpf.h"
#include "launch/call_numbers.h"
#include "launch/filter.h"
#include "launch/trap_table.h"

namespace launch = gpcsup::launch;
namespace test = gpcsup::test;
using gpcsup::wire::TrapClass;
using launch::Makes;

namespace {

constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t notify = SECCOMP_RET_USER_NOTIF;
constexpr std::uint32_t refuse(int error) {
    return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
}

struct Call {
    std::uint32_t arch;
    int number;
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    std::uint64_t third = 0;
};

std::uint32_t answer(std::initializer_list<TrapClass> classes, const Call& call) {
    const auto filter = launch::build_filter(std::vector<TrapClass>(classes));
    REQUIRE(filter.has_value());
    seccomp_data data{};
    data.arch = call.arch;
    data.nr = call.number;
    data.args[0] = call.first;
    data.args[1] = call.second;
    data.args[2] = call.third;
    return test::run_filter(*filter, data);
}

constexpr std::uint32_t native = AUDIT_ARCH_X86_64;
constexpr std::uint32_t compat = AUDIT_ARCH_I386;

}  // namespace

TEST_CASE("every call of the kernel's headers is classified: makes a file, or does not") {
    for (const auto* numbers : {&test::native_calls(), &test::compat_calls()}) {
        CHECK(numbers->size() > 300);
        for (const auto& [name, number] : *numbers) {
            INFO(name << " (" << number << ") is in neither list of src/launch/file_calls.cpp");
            CHECK(launch::what_makes(name).has_value());
            CHECK(number <= launch::last_known_call);
        }
    }
}

TEST_CASE("no call is classified twice, and those that make files have the headers' numbers") {
    std::set<std::string_view> seen;
    for (const std::string_view name : launch::calls_without_files()) {
        INFO(name);
        CHECK(seen.insert(name).second);
    }
    for (const launch::FileCall& call : launch::file_calls()) {
        INFO(call.name);
        CHECK(seen.insert(call.name).second);
        for (const auto& [number, known] : {std::pair(call.native, test::native_number(call.name)),
                                            std::pair(call.compat, test::compat_number(call.name))}) {
            // The headers of the build machine may be older than the call.
            CHECK((number == known || (known == -1 && number > 450)));
        }
    }
}

TEST_CASE("a filter of class file asks about every call that makes one, on both ABIs, and about no other") {
    for (const auto& [arch, numbers] :
         {std::pair(native, &test::native_calls()), std::pair(compat, &test::compat_calls())}) {
        for (const auto& [name, number] : *numbers) {
            INFO(name << " " << arch);
            switch (launch::what_makes(name).value_or(Makes::none)) {
                case Makes::one:
                case Makes::two:
                    CHECK(answer({TrapClass::file}, {arch, number}) == notify);
                    break;
                case Makes::none:
                    CHECK(answer({TrapClass::file}, {arch, number, ~0ULL, ~0ULL, ~0ULL}) == allow);
                    break;
                default:
                    break;
            }
            if (launch::what_makes(name) != Makes::refused && name != "clone" && name != "fork" &&
                name != "vfork") {
                CHECK(answer({TrapClass::task}, {arch, number}) == allow);
            }
        }
    }
}

TEST_CASE("by its arguments a call makes a file, or does not") {
    const auto file = [](const Call& call) { return answer({TrapClass::file}, call); };
    CHECK(file({native, 282, UINT32_MAX}) == notify);  // signalfd: a new one
    CHECK(file({native, 282, 3}) == allow);
    CHECK(file({native, 289, ~0ULL}) == notify);
    CHECK(file({native, 56, CLONE_PIDFD | CLONE_VM}) == notify);
    CHECK(file({native, 56, CLONE_VM}) == allow);
    CHECK(file({compat, 120, CLONE_PIDFD}) == notify);
    CHECK(file({native, 55, 3, SOL_SOCKET, 77}) == notify);  // SO_PEERPIDFD
    CHECK(file({native, 55, 3, 41, 77}) == allow);
    CHECK(file({native, 54, 3, SOL_SOCKET, 76}) == refuse(ENOPROTOOPT));
    CHECK(file({native, 54, 3, 41, 76}) == allow);  // IPV6_UNICAST_IF
    CHECK(file({native, 321, 0}) == notify);        // BPF_MAP_CREATE
    CHECK(file({native, 321, 1}) == allow);         // BPF_MAP_LOOKUP_ELEM
    CHECK(file({native, 16, 3, 0x5441}) == notify);
    CHECK(file({native, 16, 3, 0x5401}) == allow);
    CHECK(file({native, 317, 1, 8}) == notify);
    CHECK(file({native, 317, 1, 0}) == allow);
    CHECK(file({compat, 102, 1}) == notify);
    CHECK(file({compat, 102, 3}) == allow);  // SYS_CONNECT
    CHECK(answer({TrapClass::task}, {native, 56, CLONE_VM}) == notify);
}

TEST_CASE("ways around the count are closed, and a call that is younger than the table is") {
    for (const std::uint32_t arch : {native, compat}) {
        for (const int ring : {425, 426, 427}) {
            CHECK(answer({TrapClass::file}, {arch, ring}) == refuse(EPERM));
        }
        CHECK(answer({TrapClass::file}, {arch, 435}) == refuse(ENOSYS));
        CHECK(answer({TrapClass::file}, {arch, launch::last_known_call}) == allow);
        CHECK(answer({TrapClass::file}, {arch, launch::last_known_call + 1}) == refuse(ENOSYS));
        CHECK(answer({TrapClass::file}, {arch, -1}) == allow);  // skipped by a tracer
        CHECK(answer({TrapClass::task}, {arch, launch::last_known_call + 1}) == allow);
    }
    CHECK(answer({TrapClass::file}, {native, 2 | 0x40000000}) == refuse(ENOSYS));
}

TEST_CASE("gpc-enforce's table knows who makes two") {
    auto table = std::make_unique<gpcsup::wire::EnforcementTable>();
    launch::fill_classes(*table);
    const auto file = static_cast<int>(TrapClass::file);
    CHECK(table->classes[2] == file);
    CHECK(table->classes[22] == (file | gpcsup::wire::makes_two));
    CHECK(table->compat_classes[42] == (file | gpcsup::wire::makes_two));
    CHECK(table->classes[56] == static_cast<int>(TrapClass::task));
    CHECK(table->compat_classes[102] == file);
}
