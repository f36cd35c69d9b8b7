// Threads that stay: one step of a model calls for them some hundred times, and starting them costs as much as
// a small product.
//
// Nobody waits for a thread that has not begun: on a busy machine it may be long until it is given a core, and
// the caller has done all there was by then.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace {

class Team {
  public:
    // Runs `work()` here and in so many threads in all, or in those that come in time; it takes its part from
    // what is left, until nothing is. One caller at a time.
    template <typename Work>
    void share(int64_t threads, const Work& work) {
        if (threads < 2) return work();
        for (; size_ + 1 < threads; ++size_)
            std::thread([this, number = size_, seen = round_.load()] { wait_for_work(number, seen); }).detach();
        call_ = [](const void* it) { (*static_cast<const Work*>(it))(); };
        work_ = &work;
        wanted_ = threads - 1;
        inside_.store(0);
        {
            const std::lock_guard<std::mutex> one(sleeping_);
            round_.fetch_add(1);
        }
        begun_.notify_all();
        work();
        for (int64_t nobody = 0; !inside_.compare_exchange_weak(nobody, CLOSED); nobody = 0)
            std::this_thread::yield();
    }

  private:
    static constexpr int64_t CLOSED = -1;
    static constexpr int SPINS = 2000;  // some microseconds: the next call comes soon within a step

    void wait_for_work(int64_t number, uint64_t seen) {
        for (;; seen = round_.load()) {
            for (int spin = 0; spin < SPINS && round_.load(std::memory_order_acquire) == seen; ++spin) relax();
            if (round_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> one(sleeping_);
                begun_.wait(one, [&] { return round_.load() != seen; });
            }
            if (!enter()) continue;
            if (number < wanted_) call_(work_);
            inside_.fetch_sub(1);
        }
    }

    // Whether there is a call to take part in; it stays until everybody inside has left.
    bool enter() {
        int64_t others = inside_.load();
        while (others != CLOSED)
            if (inside_.compare_exchange_weak(others, others + 1)) return true;
        return false;
    }

    static void relax() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }

    int64_t size_ = 0, wanted_ = 0;
    void (*call_)(const void*) = nullptr;
    const void* work_ = nullptr;
    std::atomic<int64_t> inside_{CLOSED};
    std::atomic<uint64_t> round_{0};
    std::mutex sleeping_;
    std::condition_variable begun_;
};

}  // namespace
