from benchmarks.engine.rounds import main

if __name__ == "__main__":
    main()
