#include "launch/filter.h"

#include <linux/audit.h>
#include <sys/syscall.h>
#include <catch2/catch.hpp>
#include <cerrno>

#include "launch/bpf.h"
#include "launch/call_numbers.h"
#include "launch/trap_table.h"

using gpcsup::wire::TrapClass;
namespace launch = gpcsup::launch;
namespace test = gpcsup::test;

namespace {

constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t notify = SECCOMP_RET_USER_NOTIF;
constexpr std::uint32_t refuse(int error) {
    return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
}

launch::Filter filter_of(std::initializer_list<TrapClass> classes) {
    auto filter = launch::build_filter(std::vector<TrapClass>(classes));
    REQUIRE(filter.has_value());
    return *filter;
}

std::uint32_t answer(const launch::Filter& filter, std::uint32_t arch, int number, std::uint64_t second = 0) {
    seccomp_data call{};
    call.nr = number;
    call.arch = arch;
    call.args[1] = second;
    return test::run_filter(filter, call);
}

constexpr std::uint32_t native = AUDIT_ARCH_X86_64;
constexpr std::uint32_t compat = AUDIT_ARCH_I386;

}  // namespace

TEST_CASE("the trap table has the numbers of the kernel's headers") {
    for (const launch::TrappedCall& call : launch::trapped_calls()) {
        if (call.trap_class == TrapClass::file) {
            continue;  // file_calls_test.cpp
        }
        INFO(call.name);
        CHECK(call.native == test::native_number(call.name));
        CHECK(call.compat == test::compat_number(call.name));
    }
    for (const launch::RefusedCall& call : launch::refused_calls()) {
        INFO(call.name);
        CHECK(call.native == test::native_number(call.name));
        CHECK(call.compat == test::compat_number(call.name));
    }
}

TEST_CASE("a filter of class task asks about forks and nothing else") {
    const launch::Filter filter = filter_of({TrapClass::task});
    for (int number = 0; number < 500; ++number) {
        INFO(number);
        const bool forks = number == 56 || number == 57 || number == 58;
        const std::uint32_t expected = forks           ? notify
                                       : number == 435 ? refuse(ENOSYS)
                                       : number == 425 ? refuse(EPERM)
                                                       : allow;
        CHECK(answer(filter, native, number) == expected);
        const bool compat_forks = number == 2 || number == 120 || number == 190;
        const std::uint32_t compat_expected = compat_forks    ? notify
                                              : number == 435 ? refuse(ENOSYS)
                                              : number == 425 ? refuse(EPERM)
                                                              : allow;
        CHECK(answer(filter, compat, number) == compat_expected);
    }
}

TEST_CASE("a filter of class affinity closes the ring's way around it") {
    const launch::Filter filter = filter_of({TrapClass::affinity});
    CHECK(answer(filter, native, 203) == notify);
    CHECK(answer(filter, compat, 241) == notify);
    CHECK(answer(filter, native, 57) == allow);
    CHECK(answer(filter, native, 435) == allow);
    CHECK(answer(filter, native, 425) == refuse(EPERM));
    constexpr std::uint64_t set_worker_affinity = 17;
    for (const std::uint32_t abi : {native, compat}) {
        CHECK(answer(filter, abi, 427, set_worker_affinity) == refuse(EPERM));
        CHECK(answer(filter, abi, 427, set_worker_affinity | 1ULL << 31) == refuse(EPERM));
        // The kernel looks at 32 bits of it, so garbage above them must not hide the opcode.
        CHECK(answer(filter, abi, 427, set_worker_affinity | 1ULL << 40) == refuse(EPERM));
        CHECK(answer(filter, abi, 427, 18) == allow);
        CHECK(answer(filter, abi, 428, set_worker_affinity) == allow);
    }
}

TEST_CASE("x32 and foreign ABIs get ENOSYS, a skipped call passes") {
    const launch::Filter filter = filter_of({TrapClass::task, TrapClass::affinity, TrapClass::policy});
    for (const int number : {0, 56, 57, 58, 203, 400}) {
        CHECK(answer(filter, native, number | 0x40000000) == refuse(ENOSYS));
    }
    CHECK(answer(filter, native, -1) == allow);
    CHECK(answer(filter, AUDIT_ARCH_AARCH64, 57) == refuse(ENOSYS));
    CHECK(answer(filter, native, 237) == notify);
    CHECK(answer(filter, compat, 274) == notify);
    CHECK(answer(filter, native, 57) == notify);
}

TEST_CASE("what cannot be trapped is refused, not ignored") {
    const auto nothing = launch::build_filter({});
    REQUIRE_FALSE(nothing.has_value());
    CHECK(nothing.error().code == EINVAL);
    const TrapClass unknown = TrapClass::count_;
    const auto nobody = launch::build_filter({&unknown, 1});
    REQUIRE_FALSE(nobody.has_value());
    CHECK(nobody.error().code == ENOTSUP);
}

TEST_CASE("the cache gives the same program for the same set in any order") {
    launch::FilterCache cache;
    const std::vector<TrapClass> one{TrapClass::task, TrapClass::affinity};
    const std::vector<TrapClass> other{TrapClass::affinity, TrapClass::task, TrapClass::task};
    const std::vector<TrapClass> third{TrapClass::affinity};
    const auto first = cache.get(one);
    const auto second = cache.get(other);
    const auto different = cache.get(third);
    REQUIRE((first && second && different));
    CHECK(*first == *second);
    CHECK(*first != *different);
}

TEST_CASE("gpc-enforce's class tables come from the same rows") {
    auto table = std::make_unique<gpcsup::wire::EnforcementTable>();
    launch::fill_classes(*table);
    CHECK(table->classes[57] == static_cast<int>(TrapClass::task));
    CHECK(table->compat_classes[2] == static_cast<int>(TrapClass::task));
    CHECK(table->classes[1] == static_cast<int>(TrapClass::none));
    CHECK(table->classes[203] == static_cast<int>(TrapClass::affinity));
    CHECK(table->compat_classes[241] == static_cast<int>(TrapClass::affinity));
}
