from pets.cli import main

raise SystemExit(main())
