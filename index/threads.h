// Work that several threads share, and work that nobody waits for.

#pragma once

#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace {

// Runs `work` here and in so many threads in all, or in as many as the system gives; each takes from what there is
// to do until nothing is left. If one fails, the others go on, and its exception comes when they are done.
template <typename Work>
void share(size_t threads, Work work) {
    std::exception_ptr failure;
    std::mutex failing;
    const auto guarded = [&] {
        try {
            work();
        } catch (...) {
            const std::lock_guard<std::mutex> one(failing);
            failure = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    others.reserve(threads);
    try {
        while (others.size() + 1 < threads) others.emplace_back(guarded);
    } catch (const std::system_error&) {
    }
    guarded();
    for (auto& other : others) other.join();
    if (failure) std::rethrow_exception(failure);
}

// Runs `work`, which must not throw, in a thread of its own; here, if the system gives none.
template <typename Work>
void apart(Work work) {
    try {
        std::thread(work).detach();
    } catch (const std::system_error&) {
        work();
    }
}

}  // namespace
