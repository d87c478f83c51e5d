// Which thread gpc-graft borrows: by what /proc says, and again by the registers of the stopped one.

#include "exec/graft/choice.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace gpcsup::exec;
using gpcsup::wire::GraftOutcome;

namespace {

Thread capable(std::int32_t tid, Rank rank = Rank::free) {
    Thread thread;
    thread.tid = tid;
    thread.capable = true;
    thread.rank = rank;
    return thread;
}

Thread promised(std::int32_t tid) {
    Thread thread = capable(tid);
    thread.capable = false;
    thread.promise = Promise::made;
    return thread;
}

Thread ordinary(std::int32_t tid) {
    Thread thread = capable(tid);
    thread.capable = false;
    return thread;
}

Judgement judged(const std::vector<Thread>& threads) {
    return judge(threads, 999);
}

// The tids in the order in which they would be tried.
std::vector<std::int32_t> order(const std::vector<Thread>& threads, Rank worst) {
    std::vector<std::int32_t> tids;
    bool tried[16] = {};
    for (;;) {
        const std::size_t at = choose(threads, {tried, threads.size()}, worst);
        if (at == threads.size()) {
            return tids;
        }
        tried[at] = true;
        tids.push_back(threads[at].tid);
    }
}

Stopped stopped(long call, std::int64_t result) {
    return {call, result, {}, native_code};
}

}  // namespace

TEST_CASE("each thread is judged, not the leader alone") {
    auto threads = std::vector{capable(1), capable(2), capable(3)};
    CHECK(judged(threads).outcome == GraftOutcome::enforced);
    threads[2].filter = FilterMode::some;
    CHECK(judged(threads).outcome == GraftOutcome::own_filter);
    CHECK(judged(threads).other == 3);
    threads[2].ended = true;  // what has ended has nothing any more
    CHECK(judged(threads).outcome == GraftOutcome::enforced);
    threads[1].tracer = 77;
    CHECK(judged(threads).outcome == GraftOutcome::traced);
    CHECK(judged(threads).other == 77);
    threads[1].tracer = 999;
    CHECK(judged(threads).outcome == GraftOutcome::enforced);
}

TEST_CASE("nobody is left: the process has gone") {
    auto leader = capable(1);
    leader.ended = true;
    CHECK(judged({leader}).outcome == GraftOutcome::gone);
    CHECK(judged({}).outcome == GraftOutcome::gone);
}

TEST_CASE("no promise is spread, and none is made for anybody") {
    const auto mixed = std::vector{promised(1), capable(2)};
    CHECK_FALSE(may_set_filter(mixed[0], mixed));
    CHECK(may_set_filter(mixed[1], mixed));
    CHECK(order(mixed, Rank::masked) == std::vector{2});
    CHECK(judged({promised(1), promised(2)}).outcome == GraftOutcome::enforced);
    CHECK(judged({promised(1), ordinary(2)}).outcome == GraftOutcome::needs_promise);
    CHECK(judged({ordinary(1)}).outcome == GraftOutcome::needs_promise);
}

TEST_CASE("the fittest comes first, and who is worse than the round allows does not come at all") {
    const auto threads =
        std::vector{capable(1, Rank::masked), capable(2, Rank::timed), capable(3, Rank::unfit),
                    capable(4, Rank::free), capable(5, Rank::clean)};
    CHECK(order(threads, Rank::clean) == std::vector{4, 5});
    CHECK(order(threads, Rank::masked) == std::vector{4, 5, 2, 1});
}

TEST_CASE("a call in which a thread waits says how fit it is") {
    const auto rank = [](long number, std::uint64_t third = 0, std::uint64_t fourth = 0,
                         std::uint64_t fifth = 0) {
        return rank_of(Call{number, {0, 0, third, fourth, fifth, 0}});
    };
    constexpr auto for_ever = static_cast<std::uint64_t>(-1);
    CHECK(rank(no_call) == Rank::free);
    CHECK(rank(SYS_futex) == Rank::clean);
    CHECK(rank(SYS_futex, 0, 0x7fff) == Rank::timed);
    CHECK(rank(SYS_nanosleep) == Rank::timed);
    CHECK(rank(SYS_poll) == Rank::timed);
    CHECK(rank(SYS_read) == Rank::likely);
    CHECK(rank(SYS_epoll_wait, 0, for_ever) == Rank::repaired);
    CHECK(rank(SYS_epoll_wait, 0, 100) == Rank::masked);
    CHECK(rank(SYS_epoll_pwait, 0, for_ever, 0) == Rank::repaired);
    CHECK(rank(SYS_epoll_pwait, 0, for_ever, 0x7fff) == Rank::masked);
    for (const long number : {SYS_rt_sigsuspend, SYS_ppoll, SYS_pselect6, SYS_rt_sigtimedwait}) {
        CHECK(rank(number) == Rank::masked);
    }
    for (const long number :
         {SYS_write, SYS_writev, SYS_readv, SYS_sendmsg, SYS_sendto, SYS_splice, SYS_sendfile, SYS_recvmmsg,
          SYS_sendmmsg, SYS_connect, SYS_clone, SYS_vfork, SYS_execve, SYS_close}) {
        INFO("call " << number);
        CHECK(rank(number) == Rank::unfit);
    }
}

TEST_CASE("the registers of the stopped thread have the last word") {
    CHECK(rank_of(stopped(-1, 5)) == Rank::free);
    CHECK(rank_of(stopped(SYS_write, 100)) == Rank::free);  // through with it
    CHECK(rank_of(stopped(SYS_write, restart_sys)) == Rank::clean);
    CHECK(rank_of(stopped(SYS_write, says_interrupted)) == Rank::unfit);
    CHECK(rank_of(stopped(SYS_nanosleep, restart_block)) == Rank::timed);
    CHECK(rank_of(stopped(SYS_rt_sigsuspend, restart_nohand)) == Rank::masked);
    CHECK(rank_of(stopped(SYS_read, says_interrupted)) == Rank::repaired);
    Stopped compat = stopped(-1, 0);
    compat.code_segment = 0x23;
    CHECK(rank_of(compat) == Rank::unfit);
}

TEST_CASE(
    "what says EINTR, having done nothing, is made again unless a handler runs; the rest stays as it is") {
    CHECK(mended(stopped(SYS_epoll_wait, says_interrupted)) == restart_nohand);
    CHECK(mended(stopped(SYS_close, says_interrupted)) == says_interrupted);
    CHECK(mended(stopped(SYS_epoll_wait, 3)) == 3);
    CHECK(mended(stopped(-1, says_interrupted)) == says_interrupted);
}

TEST_CASE("a thread that has to go on by itself makes its call again as the kernel would") {
    const auto on = [](long call, std::int64_t result) {
        const Resumption resumed = resumption(stopped(call, result));
        return std::pair(resumed.rax, resumed.back);
    };
    using Pair = std::pair<std::int64_t, std::int64_t>;
    CHECK(on(-1, 42) == Pair(42, 0));
    CHECK(on(SYS_read, 17) == Pair(17, 0));
    CHECK(on(SYS_read, restart_sys) == Pair(SYS_read, 2));
    CHECK(on(SYS_futex, restart_nointr) == Pair(SYS_futex, 2));
    CHECK(on(SYS_rt_sigsuspend, restart_nohand) == Pair(SYS_rt_sigsuspend, 2));
    CHECK(on(SYS_nanosleep, restart_block) == Pair(SYS_restart_syscall, 2));
    CHECK(on(SYS_epoll_wait, says_interrupted) == Pair(SYS_epoll_wait, 2));
    CHECK(on(SYS_close, says_interrupted) == Pair(says_interrupted, 0));
}

TEST_CASE("a program of another ABI is known by its first bytes") {
    std::uint8_t head[64] = {0x7f, 'E', 'L', 'F', ELFCLASS64, 1, 1};
    head[18] = EM_X86_64;
    CHECK(abi_of(head) == Abi::native);
    head[EI_CLASS] = ELFCLASS32;  // x32
    CHECK(abi_of(head) == Abi::other);
    head[18] = EM_386;
    CHECK(abi_of(head) == Abi::other);
    CHECK(abi_of({head, 10}) == Abi::unknown);
    CHECK(abi_of(std::vector<std::uint8_t>(64, '#')) == Abi::other);
}
